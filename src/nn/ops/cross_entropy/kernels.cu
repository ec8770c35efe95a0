// The end of the output layer: softmax, cross-entropy and its gradient, in place of the logits.

/// A block for each row, which reads it twice: for the largest and the sum of exponentials, put together as they come
/// (Milakov & Gimelshein 2018), and for the gradient, which replaces the logits. A `share` of zero means no gradient.
///
/// `losses`: a row's loss times its weight. `weights` is null where every row counts the same. `share` is what the loss
/// of a row of weight one adds to the whole.
extern "C" __global__ void softmax_cross_entropy(float *logits, const float *bias, const unsigned *targets,
    const float *weights, float *losses, int columns, float smoothing, float share)
{
    float *row = logits + (Count)blockIdx.x * columns;
    int target = targets[blockIdx.x];
    float weight = weights ? weights[blockIdx.x] : 1.0f;
    float largest = -INFINITY, exponentials = 0.0f, sum = 0.0f;
    for (int column = threadIdx.x; column < columns; column += THREADS) {
        float logit = row[column] + bias[column];
        sum += logit;
        if (logit > largest) {
            exponentials *= expf(largest - logit);
            largest = logit;
        }
        exponentials += expf(logit - largest);
    }
    float of_all = block_maximum(largest);
    // A thread without a column adds nothing; its `largest` is infinite.
    exponentials = block_sum(threadIdx.x < columns ? exponentials * expf(largest - of_all) : 0.0f);
    sum = block_sum(sum);
    float log_sum = logf(exponentials) + of_all;
    if (threadIdx.x == 0) {
        float hit = log_sum - (row[target] + bias[target]), spread = log_sum - sum / columns;
        losses[blockIdx.x] = weight * ((1.0f - smoothing) * hit + smoothing * spread);
    }
    if (share == 0.0f) return;
    // The target's logit has been read.
    __syncthreads();
    float everywhere = smoothing / columns;
    for (int column = threadIdx.x; column < columns; column += THREADS) {
        float probability = expf(row[column] + bias[column] - log_sum);
        float wanted = everywhere + (column == target ? 1.0f - smoothing : 0.0f);
        row[column] = share * weight * (probability - wanted);
    }
}
