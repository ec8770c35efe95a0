//! Checks and their results.

use cutline::nn::{Backend, Matrix, Taped, random_stream};
use dfdx::prelude::*;
use rand::RngExt;

/// An error message.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Named numbers.
pub(crate) type Found = Vec<(String, Vec<f32>)>;

/// Computes the numbers.
type Work<D> = dyn Fn(&D) -> Result<Found, Failure>;

/// A computation whose numbers must be equal on all devices.
pub(crate) struct Check<D> {
    pub(crate) name: &'static str,
    /// The largest difference, as a fraction of the largest number.
    pub(crate) tolerance: f32,
    work: Box<Work<D>>,
}

impl<D> Check<D> {
    pub(crate) fn new(
        name: &'static str,
        tolerance: f32,
        work: impl Fn(&D) -> Result<Found, Failure> + 'static,
    ) -> Self {
        let work = Box::new(work);
        Self {
            name,
            tolerance,
            work,
        }
    }

    pub(crate) fn of(&self, device: &D) -> Result<Found, Failure> {
        (self.work)(device)
    }
}

/// Errors of devices do not implement `Error`.
pub(crate) trait OrFail<V> {
    /// The same with the error as text.
    fn or_fail(self) -> Result<V, Failure>;
}

impl<V, E: std::fmt::Display> OrFail<V> for Result<V, E> {
    fn or_fail(self) -> Result<V, Failure> {
        self.map_err(|error| error.to_string().into())
    }
}

/// Numbers from -1 to 1, the same for the same name.
pub(crate) fn numbers(name: &str, count: usize) -> Vec<f32> {
    let mut stream = random_stream(1, name, 0);
    (0..count).map(|_| stream.random::<f32>() * 2.0 - 1.0).collect()
}

/// Indices below `end`, the same for the same name.
pub(crate) fn places(name: &str, count: usize, end: usize) -> Vec<usize> {
    let mut stream = random_stream(2, name, 0);
    (0..count).map(|_| stream.random_range(0..end)).collect()
}

/// A tensor of [`numbers`].
pub(crate) fn tensor<S: Shape, D: Backend>(
    device: &D,
    name: &str,
    shape: S,
) -> Result<Tensor<S, f32, D>, Failure> {
    device
        .try_tensor_from_vec(numbers(name, shape.num_elements()), shape)
        .or_fail()
}

/// The values of `y`, and gradients of a sum with a different weight for each.
pub(crate) struct Probe<D: Backend> {
    found: Found,
    gradients: Gradients<f32, D>,
}

impl<D: Backend> Probe<D> {
    pub(crate) fn of<S: Shape>(y: Tensor<S, f32, D, Taped<D>>) -> Result<Self, Failure> {
        let values = y.as_vec();
        let weights = tensor(y.device(), "weights of the probe", (values.len(),))?;
        let loss = y
            .try_reshape_like(&(values.len(),))
            .or_fail()?
            .try_mul(weights)
            .or_fail()?
            .try_sum::<(), _>()
            .or_fail()?;
        Ok(Self {
            found: vec![("values".into(), values)],
            gradients: loss.try_backward().or_fail()?,
        })
    }

    /// Adds the gradient of `tensor`, zeros if it has none.
    pub(crate) fn and<S: Shape>(mut self, name: &str, tensor: &Tensor<S, f32, D>) -> Result<Self, Failure> {
        self.gradients.get_or_alloc_mut(tensor).or_fail()?;
        let gradient = self.gradients.get(tensor).as_vec();
        self.found.push((format!("gradient of {name}"), gradient));
        Ok(self)
    }

    /// Adds the gradients of several matrices.
    pub(crate) fn and_all<'a>(
        self,
        matrices: impl IntoIterator<Item = (&'a str, &'a Matrix<D>)>,
    ) -> Result<Self, Failure>
    where
        D: 'a,
    {
        matrices
            .into_iter()
            .try_fold(self, |probe, (name, matrix)| probe.and(name, matrix))
    }

    pub(crate) fn found(self) -> Found {
        self.found
    }
}
