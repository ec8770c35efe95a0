//! Cutline's operations and their gradients.

use super::found::{Check, Failure, Found, OrFail, Probe, numbers, places, tensor};
use cutline::decoders::{CaptionBatch, DecoderKind, DecoderSettings, DecoderShape, Regularization, build};
use cutline::nn::{
    Activation, Adam, AdamSettings, Backend, ConvGeometry, ConvLayer, ConvWeights, Convolution, Ema, Images,
    Initialization, Layer, Linear, Lstm, Matrix, PackedSequence, Padding, Parameter, Taped, Targets, conv2d,
    cross_entropy, depthwise, global_avg_pool, lstm_cell, max_pool, random_stream,
};
use dfdx::prelude::*;

const SAME: ConvGeometry = ConvGeometry::square(3, 1, Padding::all(1));
const HALVE: ConvGeometry = ConvGeometry::square(3, 2, Padding::all(1));

pub(crate) fn checks<D: Backend>() -> Vec<Check<D>> {
    vec![
        Check::new("convolution", 1e-4, convolutions),
        Check::new("depthwise convolution", 1e-4, depthwise_convolution),
        Check::new("pooling", 1e-5, pooling),
        Check::new("linear layer", 1e-4, linear),
        Check::new("sums of very many rows", 1e-6, many_rows),
        Check::new("rows", 1e-5, rows),
        Check::new("LSTM", 1e-4, lstm),
        Check::new("LSTM step by step", 1e-4, steps),
        Check::new("cross-entropy", 1e-4, loss),
        Check::new("decoders, all four", 1e-3, decoders),
        Check::new("Adam and the average", 1e-4, adam),
        Check::new("frozen network", 1e-4, frozen),
    ]
}

fn convolutions<D: Backend>(device: &D) -> Result<Found, Failure> {
    // Channels that four divides and that it does not, a pixel as window, more windows than are laid out at a time.
    let cases = [
        (SAME, 16, 24),
        (HALVE, 3, 10),
        (ConvGeometry::POINTWISE, 12, 20),
        (SAME, 130, 8),
    ];
    let mut found = Found::new();
    for (window, inputs, outputs) in cases {
        let x: Images<D> = tensor(device, "maps", (5, 29, 31, inputs))?;
        let kernel: Matrix<D> = tensor(device, "kernel", (window.taps() * inputs, outputs))?;
        let bias: Matrix<D> = tensor(device, "bias", (1, outputs))?;
        let convolution = Convolution {
            window,
            activation: Activation::Relu,
        };
        let y = conv2d(x.leaky_trace(), &kernel, &bias, convolution).or_fail()?;
        let probe = Probe::of(y)?.and("maps", &x)?;
        found.extend(probe.and_all([("kernel", &kernel), ("bias", &bias)])?.found());
    }
    Ok(found)
}

fn depthwise_convolution<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Images<D> = tensor(device, "maps", (5, 29, 31, 33))?;
    let kernel: Matrix<D> = tensor(device, "kernel", (9, 33))?;
    let bias: Matrix<D> = tensor(device, "bias", (1, 33))?;
    let convolution = Convolution {
        window: HALVE,
        activation: Activation::Relu6,
    };
    let y = depthwise(x.leaky_trace(), &kernel, &bias, convolution).or_fail()?;
    let probe = Probe::of(y)?.and("maps", &x)?;
    Ok(probe.and_all([("kernel", &kernel), ("bias", &bias)])?.found())
}

fn pooling<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Images<D> = tensor(device, "maps", (5, 29, 31, 33))?;
    let largest = max_pool(x.leaky_trace(), HALVE).or_fail()?;
    let mean = global_avg_pool(x.leaky_trace()).or_fail()?;
    Ok([
        Probe::of(largest)?.and("maps", &x)?.found(),
        Probe::of(mean)?.and("maps", &x)?.found(),
    ]
    .concat())
}

fn linear<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Matrix<D> = tensor(device, "rows", (300, 70))?;
    let mut found = Found::new();
    for activation in [Activation::None, Activation::Relu, Activation::Tanh] {
        let layer = linear_layer(device, (70, 130))?;
        let y = layer.activated(x.leaky_trace(), activation).or_fail()?;
        let probe = Probe::of(y)?.and("rows", &x)?;
        found.extend(probe.and_all(named(&layer))?.found());
    }
    Ok(found)
}

/// More bands of rows than a grid has blocks down. The gradient of the bias counts the rows, exactly.
fn many_rows<D: Backend>(device: &D) -> Result<Found, Failure> {
    const ROWS: usize = 65_536 * 128 + 1;
    let x: Matrix<D> = device.try_tensor_from_vec(vec![0.5; ROWS], (ROWS, 1)).or_fail()?;
    let layer = linear_layer(device, (1, 1))?;
    let y = layer.activated(x.leaky_trace(), Activation::None).or_fail()?;
    let loss = y.try_sum::<(), _>().or_fail()?;
    let mut gradients = loss.try_backward().or_fail()?;
    let bias = &layer.bias.value;
    gradients.get_or_alloc_mut(bias).or_fail()?;
    let counted = gradients.get(bias).as_vec();
    Ok(vec![("gradient of the bias".into(), counted)])
}

fn linear_layer<D: Backend>(device: &D, shape: (usize, usize)) -> Result<Linear<D>, Failure> {
    let mut stream = random_stream(1, "linear", 0);
    Linear::new(device, "linear", shape, Initialization::Glorot, &mut stream).or_fail()
}

/// A layer's parameters with their names.
fn named<D: Backend>(layer: &impl Layer<D>) -> Vec<(&str, &Matrix<D>)> {
    let parameters = layer.parameters().into_iter();
    parameters
        .map(|parameter| (parameter.name.as_str(), &parameter.value))
        .collect()
}

fn rows<D: Backend>(device: &D) -> Result<Found, Failure> {
    let table: Matrix<D> = tensor(device, "table", (90, 33))?;
    let sums: Matrix<D> = tensor(device, "sums", (240, 33))?;
    let listed = places("rows", 240, 90);
    let gathered = D::gather_rows(table.leaky_trace(), &listed).or_fail()?;
    let added = D::add_gathered(
        gathered.try_add(sums.leaky_trace()).or_fail()?,
        table.leaky_trace(),
        &listed,
    )
    .or_fail()?;
    let (parts, tape) =
        D::split_rows(D::activated(added, Activation::Tanh).or_fail()?, &[100, 1, 139]).or_fail()?;
    let joined = D::concat_rows(parts, tape).or_fail()?;
    let means = D::mean_of_groups(joined, 3).or_fail()?;
    Ok(Probe::of(means)?
        .and_all([("table", &table), ("sums", &sums)])?
        .found())
}

fn lstm_layer<D: Backend>(device: &D, inputs: usize, hidden: usize) -> Result<Lstm<D>, Failure> {
    Lstm::new(device, "lstm", inputs, hidden, &mut random_stream(1, "lstm", 0)).or_fail()
}

fn packing() -> PackedSequence {
    PackedSequence::new(&[9, 9, 7, 6, 6, 5, 3, 2, 1, 1])
}

fn lstm<D: Backend>(device: &D) -> Result<Found, Failure> {
    let (packing, layer) = (packing(), lstm_layer(device, 40, 67)?);
    let x: Matrix<D> = tensor(device, "inputs", (packing.rows(), 40))?;
    let y = layer.forward(x.leaky_trace(), &packing).or_fail()?;
    Ok(Probe::of(y)?.and("inputs", &x)?.and_all(named(&layer))?.found())
}

/// The same LSTM, step by step.
fn steps<D: Backend>(device: &D) -> Result<Found, Failure> {
    let (packing, layer) = (packing(), lstm_layer(device, 40, 67)?);
    let x: Matrix<D> = tensor(device, "inputs", (packing.rows(), 40))?;
    let mut tape = Taped::<D>::default();
    let recurrent = D::step_weight(&layer.hidden_weight.value, packing.rows(), &mut tape).or_fail()?;
    let gates = layer.input_layer().forward(x.clone().put_tape(tape)).or_fail()?;
    let (gates, mut tape) = D::split_rows(gates, packing.heights()).or_fail()?;
    let mut state = layer.zero_state(packing.sequences()).or_fail()?;
    let mut outputs = Vec::new();
    for gates in gates {
        let gates = D::add_products(gates.put_tape(tape), &[(&state.hidden, &recurrent)]).or_fail()?;
        (state, tape) = lstm_cell(gates, &state.cell).or_fail()?;
        outputs.push(state.hidden.clone());
    }
    let y = D::concat_rows(outputs, tape).or_fail()?;
    Ok(Probe::of(y)?.and("inputs", &x)?.and_all(named(&layer))?.found())
}

fn loss<D: Backend>(device: &D) -> Result<Found, Failure> {
    let (count, words) = (300, 1000);
    let x: Matrix<D> = tensor(device, "rows", (count, 64))?;
    let layer = linear_layer(device, (64, words))?;
    let columns = places("targets", count, words);
    let weights = numbers("weights", count);
    let mut found = Found::new();
    for (smoothing, weights) in [(0.0, None), (0.1, Some(weights.as_slice()))] {
        let targets = Targets {
            columns: &columns,
            weights,
            smoothing,
        };
        let loss = cross_entropy(x.leaky_trace(), &layer, targets).or_fail()?;
        let probe = Probe::of(loss)?.and("rows", &x)?;
        found.extend(probe.and_all(named(&layer))?.found());
    }
    Ok(found)
}

/// The loss and all gradients of every decoder; two have attention.
fn decoders<D: Backend>(device: &D) -> Result<Found, Failure> {
    let captions: Vec<Vec<u32>> = [5, 9, 2, 7]
        .iter()
        .map(|&words| {
            places("words", words, 50)
                .into_iter()
                .map(|word| word as u32 + 4)
                .collect()
        })
        .collect();
    let captions = captions.iter().enumerate();
    let batch = CaptionBatch::new(captions.map(|(image, words)| (image % 3, words.as_slice())));
    let shape = DecoderShape {
        channels: 24,
        vocabulary: 54,
    };
    let mut found = Found::new();
    for kind in DecoderKind::ALL {
        let settings = DecoderSettings {
            kind,
            hidden_size: 32,
            embedding_size: 28,
            attention_size: 20,
            doubly_stochastic_weight: 0.3,
            ..DecoderSettings::default()
        };
        let decoder = build(device, &settings, shape, &mut random_stream(1, "decoder", 0)).or_fail()?;
        let regions = tensor(device, "regions", (3, 6, 24))?;
        let mut stream = random_stream(1, "dropout", 0);
        let regularization = Regularization {
            label_smoothing: 0.1,
            dropout: 0.3,
            weight_drop: 0.2,
            word_dropout: 0.1,
            ..Regularization::none(&mut stream)
        };
        let loss = decoder
            .training_loss(regions.leaky_trace().into(), &batch, regularization)
            .or_fail()?;
        let parameters = decoder.parameters();
        let parameters = parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), &parameter.value));
        let of_decoder = Probe::of(loss)?.and_all(parameters)?.found();
        found.extend(
            of_decoder
                .into_iter()
                .map(|(what, numbers)| (format!("{kind}: {what}"), numbers)),
        );
    }
    Ok(found)
}

/// Ten steps on a quadratic loss, with clipping, weight decay and a moving average.
fn adam<D: Backend>(device: &D) -> Result<Found, Failure> {
    let mut parameters = [
        Parameter::from_values(device, "weight", (70, 301), numbers("weight", 70 * 301)).or_fail()?,
        Parameter::from_values(device, "bias", (1, 33), numbers("bias", 33)).or_fail()?,
    ];
    let settings = AdamSettings {
        weight_decay: 0.1,
        max_grad_norm: 1.0,
        ..AdamSettings::default()
    };
    let mut adam = Adam::new(settings, &parameters).or_fail()?;
    let mut average = Ema::new(0.9, &parameters).or_fail()?;
    let mut norms = Vec::new();
    for step in 0..10 {
        let [weight, bias] = &parameters;
        let half = |parameter: &Parameter<D>| {
            let square = parameter.value.leaky_trace().try_square().or_fail()?;
            square.try_sum::<(), _>().or_fail()
        };
        let loss = half(weight)?.try_add(half(bias)?).or_fail()?;
        let mut gradients = loss.try_backward().or_fail()?;
        norms.push(
            adam.update(&mut parameters, &mut gradients, 0.01)
                .or_fail()?
                .get(),
        );
        average.update(&parameters, step).or_fail()?;
    }
    let values = |parameters: &[Parameter<D>]| parameters.iter().flat_map(|p| p.value.as_vec()).collect();
    let trained = values(&parameters);
    average.exchange(&mut parameters).or_fail()?;
    Ok(vec![
        ("norms of gradients".into(), norms),
        ("values".into(), trained),
        ("average".into(), values(&parameters)),
    ])
}

/// Every kind of layer in published networks.
fn frozen<D: Backend>(device: &D) -> Result<Found, Failure> {
    let sums = |window: ConvGeometry, inputs: usize, outputs: usize| ConvWeights {
        kernel: numbers("kernel", window.taps() * inputs * outputs),
        bias: numbers("bias", outputs),
        convolution: Convolution {
            window,
            activation: Activation::Relu6,
        },
    };
    let layers = vec![
        ConvLayer::Convolution(sums(HALVE, 3, 16)),
        ConvLayer::Residual {
            branch: vec![
                ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, 16, 32)),
                ConvLayer::Depthwise(sums(SAME, 1, 32)),
                ConvLayer::Convolution(sums(ConvGeometry::POINTWISE, 32, 16)),
            ],
            shortcut: Vec::new(),
        },
        ConvLayer::Activation(Activation::Relu),
        ConvLayer::MaxPool(ConvGeometry::square(2, 2, Padding::NONE)),
        ConvLayer::Convolution(sums(SAME, 16, 40)),
        ConvLayer::GlobalAvgPool,
    ];
    let network = device.inference_conv_net(layers).or_fail()?;
    let images: Images<D> = tensor(device, "images", (3, 64, 48, 3))?;
    let features = D::run_conv_net(&network, images).or_fail()?.as_vec();
    Ok(vec![("features".into(), features)])
}
