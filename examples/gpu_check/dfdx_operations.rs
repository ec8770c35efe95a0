//! The operations of dfdx that Cutline uses.

use super::found::{Check, Failure, Found, OrFail, Probe, numbers, places, tensor};
use cutline::nn::{Backend, Matrix, Taped};
use dfdx::prelude::*;

pub(crate) fn checks<D: Backend>() -> Vec<Check<D>> {
    vec![
        Check::new("matrix product", 1e-5, product),
        Check::new("gather and select", 1e-6, gathered),
        Check::new("value by value", 1e-5, value_by_value),
        Check::new("softmax and sums", 1e-5, sums),
        Check::new("compiled while it runs: reshape, concat", 1e-6, compiled_late),
    ]
}

fn product<D: Backend>(device: &D) -> Result<Found, Failure> {
    let a: Matrix<D> = tensor(device, "a", (300, 512))?;
    let b: Matrix<D> = tensor(device, "b", (512, 700))?;
    let y = a.leaky_trace().try_matmul(b.clone()).or_fail()?;
    Ok(Probe::of(y)?.and_all([("a", &a), ("b", &b)])?.found())
}

fn gathered<D: Backend>(device: &D) -> Result<Found, Failure> {
    let table: Matrix<D> = tensor(device, "table", (200, 33))?;
    let rows = device
        .try_tensor_from_vec(places("rows", 500, 200), (500,))
        .or_fail()?;
    let columns = device
        .try_tensor_from_vec(places("columns", 500, 33), (500,))
        .or_fail()?;
    let gathered: Matrix<D, Taped<D>> = table.leaky_trace().try_gather(rows).or_fail()?;
    let selected: Tensor<(usize,), f32, D, Taped<D>> = gathered.try_select(columns).or_fail()?;
    Ok(Probe::of(selected)?.and("table", &table)?.found())
}

fn value_by_value<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Matrix<D> = tensor(device, "x", (70, 301))?;
    let wide = || x.leaky_trace().try_mul(4.0).or_fail();
    let of = |name: &str, y: Matrix<D, Taped<D>>| -> Result<Found, Failure> {
        let found = Probe::of(y)?.and("x", &x)?.found();
        Ok(found
            .into_iter()
            .map(|(what, numbers)| (format!("{name}: {what}"), numbers))
            .collect())
    };
    Ok([
        of("sigmoid", wide()?.try_sigmoid().or_fail()?)?,
        of("tanh", wide()?.try_tanh().or_fail()?)?,
        of("ReLU", wide()?.try_relu().or_fail()?)?,
        of("clamp", wide()?.try_clamp(0.0, 2.0).or_fail()?)?,
        of("exponential", wide()?.try_exp().or_fail()?)?,
        of(
            "square and root",
            wide()?
                .try_square()
                .or_fail()?
                .try_add(1.0)
                .or_fail()?
                .try_sqrt()
                .or_fail()?,
        )?,
        of(
            "quotient",
            wide()?
                .try_div(wide()?.try_square().or_fail()?.try_add(1.0).or_fail()?)
                .or_fail()?,
        )?,
    ]
    .concat())
}

fn sums<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Matrix<D> = tensor(device, "x", (70, 301))?;
    let softmax = Probe::of(x.leaky_trace().try_log_softmax::<Axis<1>>().or_fail()?)?
        .and("x", &x)?
        .found();
    let rows: Tensor<(usize,), f32, D, Taped<D>> = x.leaky_trace().try_mean::<_, Axis<1>>().or_fail()?;
    let columns: Tensor<(usize,), f32, D, Taped<D>> = x.leaky_trace().try_sum::<_, Axis<0>>().or_fail()?;
    let largest: Tensor<(usize,), f32, D, Taped<D>> = x.leaky_trace().try_max::<_, Axis<1>>().or_fail()?;
    Ok([
        softmax,
        Probe::of(rows)?.and("x", &x)?.found(),
        Probe::of(columns)?.and("x", &x)?.found(),
        Probe::of(largest)?.and("x", &x)?.found(),
    ]
    .concat())
}

/// Operations that dfdx compiles at run time, with headers from where it was built.
fn compiled_late<D: Backend>(device: &D) -> Result<Found, Failure> {
    let x: Matrix<D> = tensor(device, "x", (60, 40))?;
    let turned = x.leaky_trace().try_permute::<_, Axes2<1, 0>>().or_fail()?;
    let reshaped = turned.try_reshape_like(&(80, 30)).or_fail()?;
    let reshaped = Probe::of(reshaped)?.and("x", &x)?.found();
    let below: Matrix<D> = device
        .try_tensor_from_vec(numbers("below", 40 * 7), (7, 40))
        .or_fail()?;
    let joined = (x.leaky_trace(), below).try_concat_along(Axis::<0>).or_fail()?;
    Ok([reshaped, Probe::of(joined)?.and("x", &x)?.found()].concat())
}
