// Adam in one pass over parameter, gradient and moments; it is bound by memory.

/// See `Update`: the numbers of a step, the same for every value. `value` becomes `changed`, which may be elsewhere. The
/// gradient is scaled by a number that is on the GPU, or where that is null by one that the host knows.
extern "C" __global__ void adam(const float *value, float *changed, float *first, float *second, const float *gradient,
    const float *scale, float known_scale, float rate, float second_scale, float keep, float beta1, float beta2, float epsilon, Count count)
{
    EACH(at, count) {
        float down = gradient[at] * (scale ? *scale : known_scale);
        float mean = beta1 * first[at] + (1.0f - beta1) * down;
        float square = beta2 * second[at] + (1.0f - beta2) * down * down;
        first[at] = mean;
        second[at] = square;
        changed[at] = keep * value[at] - rate * mean / (sqrtf(square) * second_scale + epsilon);
    }
}

/// `average = keep * average + (1 - keep) * value`
extern "C" __global__ void ema_update(float *average, const float *value, float keep, Count count)
{
    EACH(at, count) average[at] = keep * average[at] + (1.0f - keep) * value[at];
}

/// The sum of squares that each block has met.
extern "C" __global__ void squares(const float *values, float *sums, Count count)
{
    float sum = 0.0f;
    EACH(at, count) sum += values[at] * values[at];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
