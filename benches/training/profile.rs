//! Where the time of a step goes: the merge decoder put together from its public parts, with a clock between.

use super::captions::{self, CAPTIONS};
use super::case::{CHANNELS, Case, DROPOUT, LABEL_SMOOTHING, LEARNING_RATE, SEED, Training, dense};
use crate::support::{Buffers, Failure, Product, ROUNDS, median, timed};
use cutline::decoders::CaptionBatch;
use cutline::nn::{
    Activation, Dropout, Embedding, Linear, Lstm, Matrix, Parameter, RowsKernel, Taped, Targets,
    cross_entropy, random_stream,
};
use dfdx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// What a step is made of, in the order of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    FeatureDropout,
    ImageLayer,
    EmbeddingGather,
    EmbeddingDropout,
    Lstm,
    Sum,
    JointLayer,
    Output,
    Adam,
    Release,
}

impl Part {
    const ALL: [Self; 10] = [
        Self::FeatureDropout,
        Self::ImageLayer,
        Self::EmbeddingGather,
        Self::EmbeddingDropout,
        Self::Lstm,
        Self::Sum,
        Self::JointLayer,
        Self::Output,
        Self::Adam,
        Self::Release,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::FeatureDropout => "dropout of features",
            Self::ImageLayer => "image layer",
            Self::EmbeddingGather => "embedding",
            Self::EmbeddingDropout => "dropout of embeddings",
            Self::Lstm => "LSTM",
            Self::Sum => "image to every token",
            Self::JointLayer => "joint layer and dropout",
            Self::Output => "output layer and loss",
            Self::Adam => "Adam",
            Self::Release => "releasing gradients",
        }
    }

    fn products(self, case: Case, batch: &CaptionBatch) -> Vec<Product> {
        match self {
            Self::ImageLayer => case.image_products(),
            Self::Lstm => case.lstm_products(batch),
            Self::JointLayer => dense(batch.tokens(), case.hidden, case.hidden),
            Self::Output => case.output_products(batch),
            _ => Vec::new(),
        }
    }
}

/// Seconds of a part.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    forward: f64,
    backward: f64,
    /// The bare matrix products of both.
    products: f64,
}

type PartTimes = [Times; Part::ALL.len()];

/// Charges the time since it was last looked at to one part or another.
struct Clock {
    last: Instant,
    times: PartTimes,
    /// Whose backward operations are running.
    backward: Part,
}

type SharedClock = Rc<RefCell<Clock>>;

impl Clock {
    fn start() -> SharedClock {
        Rc::new(RefCell::new(Self {
            last: Instant::now(),
            times: Default::default(),
            backward: Part::Output,
        }))
    }

    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        lap
    }

    fn forward(&mut self, part: Part) {
        self.times[part as usize].forward += self.lap();
    }

    /// What ran until now belongs to the part before; what runs from now on, to `next`.
    fn backward(&mut self, next: Part) {
        self.times[self.backward as usize].backward += self.lap();
        self.backward = next;
    }
}

/// Ends a part of the forward pass, and leaves a mark on the tape where its backward pass will begin.
fn end<S: Shape>(
    clock: &SharedClock,
    part: Part,
    result: Tensor<S, f32, Cpu, Taped<Cpu>>,
) -> Tensor<S, f32, Cpu, Taped<Cpu>> {
    let (result, tape) = result.split_tape();
    result.put_tape(mark(clock, part, tape))
}

fn mark(clock: &SharedClock, part: Part, mut tape: Taped<Cpu>) -> Taped<Cpu> {
    let marked = Rc::clone(clock);
    tape.add_backward_op(move |_| {
        marked.borrow_mut().backward(part);
        Ok(())
    });
    clock.borrow_mut().forward(part);
    tape
}

/// The merge decoder's layers.
struct Layers {
    embedding: Embedding<Cpu>,
    lstm: Lstm<Cpu>,
    image: Linear<Cpu>,
    joint: Linear<Cpu>,
    output: Linear<Cpu>,
}

impl Layers {
    /// Those of a decoder in training, in the order in which it lists its parameters.
    fn of(training: &Training) -> Result<Self, Failure> {
        let parameters: Vec<Parameter<Cpu>> = training.decoder.parameters().into_iter().cloned().collect();
        let parameters: [Parameter<Cpu>; 10] = parameters
            .try_into()
            .map_err(|_| "the merge decoder has other parameters than its profile")?;
        let [table, input_weight, hidden_weight, bias, rest @ ..] = parameters;
        let [image, image_bias, joint, joint_bias, output, output_bias] = rest;
        let linear = |weight, bias| Linear { weight, bias };
        Ok(Self {
            embedding: Embedding::Own { table },
            lstm: Lstm {
                input_weight,
                hidden_weight,
                bias,
            },
            image: linear(image, image_bias),
            joint: linear(joint, joint_bias),
            output: linear(output, output_bias),
        })
    }

    fn loss(
        &self,
        features: Matrix<Cpu>,
        batch: &CaptionBatch,
        step: u64,
        clock: &SharedClock,
    ) -> Result<Tensor<(), f32, Cpu, Taped<Cpu>>, Failure> {
        let mut stream = random_stream(SEED, "dropout", step);
        let mut dropout = Dropout::new(DROPOUT, &mut stream);
        let features: Matrix<Cpu, Taped<Cpu>> = features.put_tape(Taped::default());
        let features = end(clock, Part::FeatureDropout, dropout.apply(features)?);
        let image = end(
            clock,
            Part::ImageLayer,
            self.image.activated(features, Activation::Relu)?,
        );
        let words = self
            .embedding
            .forward::<Taped<Cpu>>(&batch.inputs, &self.output)?;
        let words = end(clock, Part::EmbeddingGather, words);
        let words = end(clock, Part::EmbeddingDropout, dropout.apply(words)?);
        let text = end(clock, Part::Lstm, self.lstm.forward(words, &batch.packing)?);
        let both = Cpu::add_gathered(text, image, &batch.image_of_rows())?;
        let both = end(clock, Part::Sum, both);
        let joint = self.joint.relu_dropout(both, &mut dropout)?;
        let joint = joint.map_tape(|tape| mark(clock, Part::JointLayer, tape));
        let targets = Targets {
            smoothing: LABEL_SMOOTHING,
            ..Targets::plain(&batch.targets)
        };
        let loss = cross_entropy(joint, &self.output, targets)?;
        Ok(end(clock, Part::Output, loss))
    }
}

/// One step, as [`Training::step`] makes it, with the times of its parts.
fn step(training: &mut Training, batch: &CaptionBatch) -> Result<(f32, PartTimes), Failure> {
    let layers = Layers::of(training)?;
    let features = training.regions()?.try_reshape_like(&(CAPTIONS, CHANNELS))?;
    let clock = Clock::start();
    let loss = layers.loss(features, batch, training.adam.step, &clock)?;
    let value = loss.array();
    drop(layers);
    let mut gradients = loss.try_backward()?;
    clock.borrow_mut().backward(Part::Adam);
    let parameters = training.decoder.parameters_mut();
    training.adam.update(parameters, &mut gradients, LEARNING_RATE)?;
    clock.borrow_mut().forward(Part::Adam);
    drop(gradients);
    clock.borrow_mut().forward(Part::Release);
    let times = clock.borrow().times;
    Ok((value, times))
}

/// Profiles the merge decoder in each size.
pub(crate) fn print() -> Result<(), Failure> {
    println!("forward and backward passes in milliseconds a step; the products are those of both, bare");
    Case::merge().try_for_each(profile)
}

fn profile(case: Case) -> Result<(), Failure> {
    let batches = captions::batches(case.vocabulary);
    let mut whole = Training::new(case)?;
    let mut parts = Training::new(case)?;
    let products = Part::ALL.map(|part| -> Vec<Product> {
        batches
            .iter()
            .flat_map(|batch| part.products(case, batch))
            .collect()
    });
    let mut buffers = Buffers::for_all(&products.concat());
    let mut rounds = Vec::new();
    let mut wholes = Vec::new();
    for _ in 0..=ROUNDS {
        let mut expected = Vec::new();
        wholes.push(timed(|| {
            for batch in &batches {
                expected.push(whole.step(batch)?);
            }
            Ok(())
        })?);
        let (found, mut times) = steps(&mut parts, &batches)?;
        if found != expected {
            return Err("the profile's step is no longer the merge decoder's: their losses differ".into());
        }
        for (times, products) in times.iter_mut().zip(&products) {
            times.products = buffers.seconds(products);
        }
        rounds.push(times);
    }
    // As everywhere, the first round does not count.
    let median = |seconds: fn(&Times) -> f64, part: Part| {
        let all = rounds[1..].iter().map(|times| seconds(&times[part as usize]));
        1e3 * median(all.collect()) / batches.len() as f64
    };
    let medians = Part::ALL.map(|part| Times {
        forward: median(|times| times.forward, part),
        backward: median(|times| times.backward, part),
        products: median(|times| times.products, part),
    });
    print_table(
        case,
        1e3 * self::median(wholes[1..].to_vec()) / batches.len() as f64,
        &medians,
    );
    Ok(())
}

/// A step with every batch: the losses, and the sums of the parts' times.
fn steps(training: &mut Training, batches: &[CaptionBatch]) -> Result<(Vec<f32>, PartTimes), Failure> {
    let mut sums = PartTimes::default();
    let mut losses = Vec::new();
    for batch in batches {
        let (loss, times) = step(training, batch)?;
        losses.push(loss);
        for (sum, times) in sums.iter_mut().zip(times) {
            sum.forward += times.forward;
            sum.backward += times.backward;
        }
    }
    Ok((losses, sums))
}

fn print_table(case: Case, whole: f64, parts: &PartTimes) {
    let total: f64 = parts.iter().map(|part| part.forward + part.backward).sum();
    println!(
        "\n{} hidden {} words {}: {whole:.1} ms a step, its parts together {:.2} of that",
        case.kind,
        case.hidden,
        case.vocabulary,
        total / whole
    );
    println!("  share  forward  backward  products");
    for (part, times) in Part::ALL.into_iter().zip(parts) {
        let Times {
            forward,
            backward,
            products,
        } = times;
        println!(
            "{:>5.1} %  {forward:>7.2}  {backward:>8.2}  {products:>8.2}  {}",
            100.0 * (forward + backward) / total,
            part.name()
        );
    }
}
