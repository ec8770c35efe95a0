//! Tests of a recurrence's pieces: the kernels of CPU and GPU against composed operations, and an LSTM put together from
//! them against the whole one.

use super::*;
use crate::nn::testing::{assert_same, random_matrix, rng, run};
use crate::nn::{Lstm, PackedSequence, RowsKernel, Taped};
use proptest::prelude::*;

/// Two steps with the same weights, the second of fewer rows.
fn check_products(live: usize, ended: usize, inputs: usize, columns: usize, seed: u64) {
    let all = live + ended;
    let x = random_matrix((all, inputs), seed);
    let y = random_matrix((all, 2), seed ^ 1);
    let [w, u] = [inputs, 2].map(|rows| random_matrix((rows, columns), seed ^ 2));
    let sums = random_matrix((all, columns), seed ^ 3);
    let fused = {
        let mut tape = Taped::<Cpu>::default();
        let [first, second] = [&w, &u].map(|weight| Cpu::step_weight(weight, 2 * all, &mut tape).unwrap());
        let terms = [(&x, &first), (&y, &second)];
        let once = Cpu::add_products(sums.clone().put_tape(tape), &terms).unwrap();
        Cpu::add_products(first_rows(once, live).unwrap(), &terms).unwrap()
    };
    let terms = [(&x, &w), (&y, &u)];
    let [composed, kernels] = [composed_products, cuda::products].map(|products| {
        let once = products(sums.leaky_trace(), &terms).unwrap();
        products(first_rows(once, live).unwrap(), &terms).unwrap()
    });
    let [fused, composed, kernels] =
        [fused, composed, kernels].map(|output| run(output, &[&x, &y, &w, &u, &sums]));
    // Gradients are sums over up to 40 columns, whose terms may cancel.
    assert_same("fused", &fused, &composed, 1e-4);
    assert_same("kernels", &kernels, &composed, 1e-4);
}

fn check_cells(live: usize, ended: usize, hidden: usize, seed: u64) {
    let gates = random_matrix((live, 4 * hidden), seed);
    let cell = random_matrix((live + ended, hidden), !seed);
    let [composed, fused, kernels] = [composed_cell, Cpu::try_lstm_cell, cuda::lstm_cell].map(|step| {
        let (hidden, cell_after) = step(gates.leaky_trace(), &cell).unwrap();
        let (hidden, tape) = hidden.split_tape();
        run(
            Cpu::concat_rows(vec![hidden, cell_after], tape).unwrap(),
            &[&gates, &cell],
        )
    });
    assert_same("fused", &fused, &composed, 1e-5);
    assert_same("kernels", &kernels, &composed, 1e-5);
}

proptest! {
    #[test]
    fn product_kernels_equal_composed(live in 1usize..12, ended in 0usize..4, inputs in 1usize..9, columns in 1usize..40, seed: u64) {
        check_products(live, ended, inputs, columns, seed);
    }

    #[test]
    fn cell_kernels_equal_composed(live in 1usize..20, ended in 0usize..4, hidden in 1usize..9, seed: u64) {
        check_cells(live, ended, hidden, seed);
    }

    #[test]
    fn an_lstm_of_pieces_is_an_lstm(
        mut lengths in proptest::collection::vec(1usize..6, 1..7),
        inputs in 1usize..6,
        hidden in 1usize..10,
        seed: u64,
    ) {
        lengths.sort_by(|a, b| b.cmp(a));
        let packing = PackedSequence::new(&lengths);
        let layer = Lstm::new(&Cpu::default(), "lstm", inputs, hidden, &mut rng(seed)).unwrap();
        let x = random_matrix((packing.rows(), inputs), seed);
        let [w, u, b] = [&layer.input_weight, &layer.hidden_weight, &layer.bias].map(|weight| &weight.value);
        let whole = layer.forward(x.leaky_trace(), &packing).unwrap();
        let pieces = {
            let mut tape = Taped::<Cpu>::default();
            let recurrent = Cpu::step_weight(&layer.hidden_weight.value, packing.rows(), &mut tape).unwrap();
            let gates = layer.input_layer().forward(x.clone().put_tape(tape)).unwrap();
            let (gates, mut tape) = Cpu::split_rows(gates, packing.heights()).unwrap();
            let mut state = layer.zero_state(packing.sequences()).unwrap();
            let mut outputs = Vec::new();
            for gates in gates {
                let gates = Cpu::add_products(gates.put_tape(tape), &[(&state.hidden, &recurrent)]).unwrap();
                (state, tape) = lstm_cell(gates, &state.cell).unwrap();
                outputs.push(state.hidden.clone());
            }
            Cpu::concat_rows(outputs, tape).unwrap()
        };
        let [pieces, whole] = [pieces, whole].map(|output| run(output, &[&x, w, u, b]));
        assert_same("pieces", &pieces, &whole, 1e-5);
    }
}

#[test]
fn kernels_equal_composed_at_the_edges() {
    for (live, ended, inputs, columns) in [(1, 0, 1, 1), (3, 2, 4, 9), (17, 1, 5, 33)] {
        check_products(live, ended, inputs, columns, 1);
    }
    for (live, ended, hidden) in [(1, 0, 1), (3, 2, 5), (19, 1, 70)] {
        check_cells(live, ended, hidden, 1);
    }
}
