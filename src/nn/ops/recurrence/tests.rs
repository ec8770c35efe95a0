//! Tests of a recurrence's pieces: fused against composed, and an LSTM put together from them against the whole one.

use super::*;
use crate::nn::cuda::emulated_stream;
use crate::nn::testing::{assert_close, probe, random_matrix};
use crate::nn::{Lstm, PackedSequence, concat_rows, split_rows};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type Taped = OwnedTape<f32, Cpu>;

fn gradients_of(loss: Matrix<Cpu, Taped>, tensors: &[&Matrix<Cpu>]) -> Vec<Vec<f32>> {
    let mut found = vec![loss.as_vec()];
    let mut gradients = probe(loss).backward();
    for tensor in tensors {
        gradients.get_or_alloc_mut(*tensor).unwrap();
        found.push(gradients.get(*tensor).as_vec());
    }
    found
}

#[track_caller]
fn assert_same(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_close(found, expected, 1e-5);
    }
}

proptest! {
    /// Two steps with the same weight, the second of fewer rows, and a term that uses some of the weight's rows only.
    #[test]
    fn products(live in 1usize..12, ended in 0usize..4, inputs in 1usize..9, columns in 1usize..40, seed: u64) {
        let all = live + ended;
        let x = random_matrix((all, inputs), seed);
        let y = random_matrix((all, 2), seed ^ 1);
        let weight = random_matrix((inputs + 2, columns), seed ^ 2);
        let sums = random_matrix((all, columns), seed ^ 3);
        let tensors = [&x, &y, &weight, &sums];
        let fused = {
            let mut tape = Taped::default();
            let first = Cpu::try_step_weight(&weight, 0..inputs, 2 * all, &mut tape).unwrap();
            let second = Cpu::try_step_weight(&weight, inputs..inputs + 2, 2 * all, &mut tape).unwrap();
            let terms = [(&x, &first), (&y, &second)];
            let once = Cpu::try_add_products(sums.clone().put_tape(tape), &terms).unwrap();
            let fewer = first_rows(once, live).unwrap();
            gradients_of(Cpu::try_add_products(fewer, &terms).unwrap(), &tensors)
        };
        let composed = {
            let terms = [(&x, &weight, 0..inputs), (&y, &weight, inputs..inputs + 2)];
            let once = composed_products(sums.leaky_trace(), &terms).unwrap();
            let fewer = first_rows(once, live).unwrap();
            gradients_of(composed_products(fewer, &terms).unwrap(), &tensors)
        };
        assert_same(&fused, &composed);
    }

    #[test]
    fn cells(live in 1usize..20, ended in 0usize..4, hidden in 1usize..9, seed: u64) {
        let gates = random_matrix((live, 4 * hidden), seed);
        let cell = random_matrix((live + ended, hidden), !seed);
        let both = |(hidden, cell): (Matrix<Cpu, Taped>, Matrix<Cpu>)| {
            let (hidden, tape) = hidden.split_tape();
            concat_rows(vec![hidden, cell], tape).unwrap()
        };
        let fused = both(Cpu::try_lstm_cell(gates.leaky_trace(), &cell).unwrap());
        let composed = both(composed_cell(gates.leaky_trace(), &cell).unwrap());
        assert_same(&gradients_of(fused, &[&gates, &cell]), &gradients_of(composed, &[&gates, &cell]));
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
        let layer = Lstm::new(&Cpu::default(), "lstm", inputs, hidden, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let x = random_matrix((packing.rows(), inputs), seed);
        let tensors = [&x, &layer.input_weight.value, &layer.hidden_weight.value, &layer.bias.value];
        let whole = layer.forward(x.leaky_trace(), &packing).unwrap();
        let pieces = {
            let mut tape = Taped::default();
            let recurrent = StepWeight::new(&layer.hidden_weight, 0..hidden, packing.rows(), &mut tape).unwrap();
            let gates = layer.input_layer().forward(x.clone().put_tape(tape)).unwrap();
            let (gates, mut tape) = split_rows(gates, packing.heights()).unwrap();
            let mut state = layer.zero_state(packing.sequences()).unwrap();
            let mut outputs = Vec::new();
            for gates in gates {
                let gates = add_products(gates.put_tape(tape), &[(&state.hidden, &recurrent)]).unwrap();
                (state, tape) = lstm_cell(gates, &state.cell).unwrap();
                outputs.push(state.hidden.clone());
            }
            concat_rows(outputs, tape).unwrap()
        };
        assert_same(&gradients_of(pieces, &tensors), &gradients_of(whole, &tensors));
    }
}

/// The GPU's kernels, run on the CPU: two steps, the second of fewer rows, with all and with some rows of a weight.
#[test]
fn kernels_equal_composed() {
    let Some(stream) = emulated_stream() else { return };
    for (seed, (live, ended, inputs, columns)) in [(1, 0, 1, 1), (3, 2, 4, 9), (17, 1, 5, 33)]
        .into_iter()
        .enumerate()
    {
        let (seed, all) = (seed as u64, live + ended);
        let x = random_matrix((all, inputs), seed);
        let y = random_matrix((all, 2), seed + 10);
        let weight = random_matrix((inputs + 2, columns), seed + 20);
        let sums = random_matrix((all, columns), seed + 30);
        let tensors = [&x, &y, &weight, &sums];
        let terms = [(&x, &weight, 0..inputs), (&y, &weight, inputs..inputs + 2)];
        let kernels = {
            let once = cuda::products(stream.clone(), sums.leaky_trace(), &terms).unwrap();
            let fewer = first_rows(once, live).unwrap();
            gradients_of(cuda::products(stream.clone(), fewer, &terms).unwrap(), &tensors)
        };
        let composed = {
            let once = composed_products(sums.leaky_trace(), &terms).unwrap();
            let fewer = first_rows(once, live).unwrap();
            gradients_of(composed_products(fewer, &terms).unwrap(), &tensors)
        };
        assert_same(&kernels, &composed);
    }
}

#[test]
fn kernels_equal_composed_cells() {
    let Some(stream) = emulated_stream() else { return };
    for (seed, (live, ended, hidden)) in [(1, 0, 1), (3, 2, 5), (19, 1, 70)].into_iter().enumerate() {
        let gates = random_matrix((live, 4 * hidden), seed as u64);
        let cell = random_matrix((live + ended, hidden), seed as u64 + 10);
        let both = |(hidden, cell): (Matrix<Cpu, Taped>, Matrix<Cpu>)| {
            let (hidden, tape) = hidden.split_tape();
            concat_rows(vec![hidden, cell], tape).unwrap()
        };
        let kernels = both(cuda::lstm_cell(stream.clone(), gates.leaky_trace(), &cell).unwrap());
        let composed = both(composed_cell(gates.leaky_trace(), &cell).unwrap());
        assert_same(
            &gradients_of(kernels, &[&gates, &cell]),
            &gradients_of(composed, &[&gates, &cell]),
        );
    }
}
