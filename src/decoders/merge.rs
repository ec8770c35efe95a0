//! The merge decoder: image and words meet after the LSTM.
//!
//! The two-branch model of Tanti et al. 2018 ("Where to put the image in an image caption generator", fig. 2) in the form
//! of published captioning scripts: features -> dense; embedding -> LSTM; sum of both; dense; softmax. The LSTM does not
//! read the image.

use super::{
    CaptionBatch, DecoderOutput, DecoderSettings, DecoderShape, INITIAL_WORDS, ImageRegions, LstmInference,
    StepDecoder, TeacherForced,
};
use crate::nn::{
    Activation, Backend, DeviceResult, Dropout, Embedding, Initialization, Linear, Lstm, MatrixResult,
    Parameter, impl_layer,
};
use dfdx::prelude::*;
use rand::Rng;

/// The two-branch model of Tanti et al. 2018, fig. 2: the LSTM reads words only; image and words meet after it.
#[derive(Clone, Debug)]
pub struct Merge<D: Backend> {
    image: Linear<D>,
    embedding: Embedding<D>,
    lstm: Lstm<D>,
    joint: Linear<D>,
    output: Linear<D>,
}

impl<D: Backend> Merge<D> {
    /// A decoder with weights drawn from `rng`.
    pub fn new(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let (hidden, embedding) = (settings.hidden_size, settings.embedding_size);
        let DecoderShape { channels, vocabulary } = shape;
        let glorot = Initialization::Glorot;
        Ok(Self {
            image: Linear::new(device, "image", (channels, hidden), glorot, rng)?,
            embedding: super::embedding(device, settings, shape, INITIAL_WORDS, rng)?,
            lstm: Lstm::new(device, "lstm", embedding, hidden, rng)?,
            joint: Linear::new(device, "joint", (hidden, hidden), glorot, rng)?,
            output: Linear::new(device, "output", (hidden, vocabulary), glorot, rng)?,
        })
    }

    /// `[images, hidden]`
    fn project_image<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        dropout: &mut Dropout<'_>,
    ) -> MatrixResult<D, T> {
        let features = dropout.apply(images.mean()?)?;
        self.image.activated(features, Activation::Relu)
    }
}

impl_layer!(Merge: embedding, lstm, image, joint, output);

impl<D: Backend> TeacherForced<D> for Merge<D> {
    fn forward<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        batch: &CaptionBatch,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, DecoderOutput<D, T>> {
        let image = self.project_image(images, dropout)?;
        let words = dropout.apply(self.embedding.forward::<T>(&batch.inputs, &self.output)?)?;
        let text = self.lstm.forward(words, &batch.packing)?;
        let both = D::add_gathered(text, image, &batch.image_of_rows())?;
        Ok(DecoderOutput::from(self.joint.relu_dropout(both, dropout)?))
    }

    fn output(&self) -> &Linear<D> {
        &self.output
    }

    fn embedding_and_output_mut(&mut self) -> (&mut Embedding<D>, &mut Linear<D>) {
        (&mut self.embedding, &mut self.output)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.lstm.hidden_weight]
    }

    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>> {
        Ok(Box::new(LstmInference::<D> {
            image: D::inference_linear(&self.image)?,
            embedding: self.embedding.for_inference(&self.output)?,
            lstm: D::inference_lstm(&self.lstm)?,
            joint: Some(D::inference_linear(&self.joint)?),
            output: D::inference_linear(&self.output)?,
            hidden: self.lstm.hidden(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoders::{Decoder, DecoderKind};
    use crate::nn::testing::{Differentiated, assert_close, random_matrix, rng};
    use crate::nn::{OutputInputs, Scalar, Taped, Targets, cross_entropy};
    use crate::text::TokenId;

    fn gradients(decoder: &Merge<Cpu>, loss: Scalar<Cpu, Taped<Cpu>>) -> Vec<Vec<f32>> {
        let mut gradients = loss.backward();
        let parameters = decoder.parameters().into_iter();
        parameters
            .map(|parameter| parameter.gradient(&mut gradients))
            .collect()
    }

    fn decoder(hidden: usize) -> Merge<Cpu> {
        let settings = DecoderSettings {
            kind: DecoderKind::Merge,
            hidden_size: hidden,
            embedding_size: 5,
            ..DecoderSettings::default()
        };
        let shape = DecoderShape {
            channels: 4,
            vocabulary: 9,
        };
        Merge::new(&Cpu::default(), &settings, shape, &mut rng(1)).unwrap()
    }

    /// The published recipe makes one sample of every prefix of every caption, its target the next word. One
    /// pass per caption by teacher forcing has the same gradient: a prefix's LSTM state is the same either
    /// way, and the loss is a sum over targets.
    #[test]
    fn one_pass_has_the_gradient_of_every_prefix_on_its_own() {
        let decoder = decoder(6);
        let features = || random_matrix((2, 4), 3).reshape_like(&(2usize, 1usize, 4usize));
        let captions: [(usize, &[TokenId]); 3] = [(0, &[4, 5, 6, 7]), (1, &[8, 4]), (1, &[5, 5, 3])];
        let batch = CaptionBatch::new(captions);
        let DecoderOutput { rows, .. } = decoder
            .forward(features().leaky_traced().into(), &batch, &mut Dropout::off())
            .unwrap();
        let whole = gradients(
            &decoder,
            cross_entropy(rows, &decoder.output, Targets::plain(&batch.targets)).unwrap(),
        );

        let mut sum: Vec<Vec<f32>> = whole.iter().map(|g| vec![0.0; g.len()]).collect();
        let mut samples = 0;
        for (image, words) in captions {
            for prefix in 0..=words.len() {
                let sample = CaptionBatch::new([(image, &words[..prefix])]);
                let target = words.get(prefix).copied().unwrap_or(crate::text::END) as usize;
                let rows = decoder
                    .forward(features().leaky_traced().into(), &sample, &mut Dropout::off())
                    .unwrap()
                    .rows
                    .into_rows();
                let last = rows.slice((prefix.., ..));
                let loss = cross_entropy(last, &decoder.output, Targets::plain(&[target])).unwrap();
                for (sum, gradient) in sum.iter_mut().zip(gradients(&decoder, loss)) {
                    sum.iter_mut()
                        .zip(gradient)
                        .for_each(|(sum, gradient)| *sum += gradient);
                }
                samples += 1;
            }
        }
        assert_eq!(samples, batch.tokens());
        for (whole, sum) in whole.iter().zip(sum) {
            let mean: Vec<f32> = sum.into_iter().map(|sum| sum / samples as f32).collect();
            assert_close(whole, &mean, 1e-5);
        }
    }

    #[test]
    fn zeros_before_the_output_layer_pass_no_gradient_on() {
        let decoder = decoder(64);
        let captions: [(usize, &[TokenId]); 3] = [(0, &[4, 5, 6, 7]), (1, &[8, 4]), (1, &[5, 5, 3])];
        let batch = CaptionBatch::new(captions);
        let inputs = || {
            let features = random_matrix((2, 4), 3).reshape_like(&(2usize, 1usize, 4usize));
            let mut stream = rng(2);
            let mut dropout = Dropout::new(0.5, &mut stream);
            decoder
                .forward(features.leaky_traced().into(), &batch, &mut dropout)
                .unwrap()
                .rows
        };
        let values = inputs().into_rows().as_vec();
        let nonzero = values.iter().filter(|&&value| value != 0.0).count();
        assert!(nonzero * 3 < values.len(), "too few zeros for the sparse kernel");
        let of = |inputs: OutputInputs<Cpu, Taped<Cpu>>| {
            let loss = cross_entropy(inputs, &decoder.output, Targets::plain(&batch.targets));
            gradients(&decoder, loss.unwrap())
        };
        let dense = of(inputs().into_rows().into());
        for (sparse, dense) in of(inputs()).iter().zip(dense) {
            assert_close(sparse, &dense, 1e-5);
        }
    }
}
