//! Bare matrix products: what the machine could do if there were nothing else to compute.

use gemm::Parallelism;
use std::hint::black_box;
use std::time::Instant;

/// One product of a dense layer, or of what works like one, in training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    kind: Kind,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `[rows, inputs] [inputs, outputs]`
    Forward,
    /// `[rows, outputs] [inputs, outputs]ᵀ`
    InputGradient,
    /// `[rows, inputs]ᵀ [rows, outputs]`
    WeightGradient,
}

impl Product {
    /// From a layer's inputs to its outputs.
    pub(crate) fn forward(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self {
            kind: Kind::Forward,
            rows,
            inputs,
            outputs,
        }
    }

    /// The gradient of the same layer's inputs.
    pub(crate) fn input_gradient(self) -> Self {
        let kind = Kind::InputGradient;
        Self { kind, ..self }
    }

    /// The gradient of the same layer's weights.
    pub(crate) fn weight_gradient(self) -> Self {
        let kind = Kind::WeightGradient;
        Self { kind, ..self }
    }

    /// Floating-point operations; a multiplication with its addition is two.
    pub(crate) fn operations(self) -> f64 {
        2.0 * self.rows as f64 * self.inputs as f64 * self.outputs as f64
    }

    /// Both factors as they lie in memory, row after row, and which way they are read.
    fn factors(self) -> [Factor; 2] {
        let Self {
            rows,
            inputs,
            outputs,
            ..
        } = self;
        let (input, weight, output) = (
            Factor::stored(rows, inputs),
            Factor::stored(inputs, outputs),
            Factor::stored(rows, outputs),
        );
        match self.kind {
            Kind::Forward => [input, weight],
            Kind::InputGradient => [output, weight.transposed()],
            Kind::WeightGradient => [input.transposed(), output],
        }
    }
}

#[derive(Clone, Copy)]
struct Factor {
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl Factor {
    fn stored(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            row_stride: columns as isize,
            column_stride: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn len(self) -> usize {
        self.rows * self.columns
    }
}

/// Memory for products, used again by each.
pub(crate) struct Buffers {
    left: Vec<f32>,
    right: Vec<f32>,
    out: Vec<f32>,
}

impl Buffers {
    /// Room for the largest of `products`.
    pub(crate) fn for_all(products: &[Product]) -> Self {
        let room = |len: fn(Factor, Factor) -> usize| {
            let lens = products.iter().map(|product| {
                let [left, right] = product.factors();
                len(left, right)
            });
            // Neither zeros nor all the same, as in a real layer.
            (0..lens.max().unwrap_or(0))
                .map(|i| (i % 251) as f32 / 125.0 - 1.0)
                .collect()
        };
        Self {
            left: room(|left, _| left.len()),
            right: room(|_, right| right.len()),
            out: room(|left, right| left.rows * right.columns),
        }
    }

    /// Computes `products` one after the other, each on all threads; gives the seconds.
    pub(crate) fn seconds(&mut self, products: &[Product]) -> f64 {
        let start = Instant::now();
        for product in products {
            let [left, right] = product.factors();
            multiply(&mut self.out, (&self.left, left), (&self.right, right));
        }
        black_box(&self.out);
        start.elapsed().as_secs_f64()
    }
}

/// Rows, inputs and outputs of products that are large enough for the machine to show what it can do.
const LARGE: [[usize; 3]; 3] = [[2048, 2048, 2048], [4096, 1024, 1024], [1024, 1024, 4096]];

/// The best that the machine does.
pub(crate) struct Machine {
    products: [Product; LARGE.len()],
    buffers: Buffers,
}

impl Machine {
    /// The operations that [`seconds`](Self::seconds) is given for.
    pub(crate) const OPERATIONS: f64 = 1e9;

    pub(crate) fn new() -> Self {
        let products = LARGE.map(|[rows, inputs, outputs]| Product::forward(rows, inputs, outputs));
        Self {
            products,
            buffers: Buffers::for_all(&products),
        }
    }

    /// The seconds that [`OPERATIONS`](Self::OPERATIONS) take in the product that does them fastest.
    pub(crate) fn seconds(&mut self) -> f64 {
        let rates = self.products.map(|product| {
            let seconds = self.buffers.seconds(&[product]);
            product.operations() / seconds
        });
        Self::OPERATIONS / rates.into_iter().fold(0.0, f64::max)
    }
}

fn multiply(out: &mut [f32], (a, left): (&[f32], Factor), (b, right): (&[f32], Factor)) {
    assert!(
        left.columns == right.rows
            && left.len() <= a.len()
            && right.len() <= b.len()
            && left.rows * right.columns <= out.len()
    );
    // SAFETY: the assertion keeps every access inside the three slices, and `out` is borrowed mutably.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            right.columns as isize,
            false,
            a.as_ptr(),
            left.column_stride,
            left.row_stride,
            b.as_ptr(),
            right.column_stride,
            right.row_stride,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}
