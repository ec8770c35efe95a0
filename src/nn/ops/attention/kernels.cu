// Additive attention of each row, a query, to the regions of its image.

/// The score of block (row, region): s' tanh(k + q).
extern "C" __global__ void attention_scores(const float *keys, const float *queries, const float *score,
    const unsigned *images, float *scores, int regions, int attention)
{
    Count region = blockIdx.y, row = blockIdx.x;
    const float *key = keys + (images[row] * (Count)regions + region) * attention;
    const float *query = queries + row * attention;
    float sum = 0.0f;
    for (int at = threadIdx.x; at < attention; at += THREADS) sum += score[at] * tanhf(key[at] + query[at]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) scores[row * regions + region] = sum;
}

/// The scores of padding, whose weights become 0; `counts` are the regions of each row's image.
extern "C" __global__ void attention_mask(const unsigned *counts, float *scores, int regions, Count count)
{
    EACH(at, count) {
        if (at % regions >= counts[at / regions]) scores[at] = -INFINITY;
    }
}

/// A block for each row: scores become weights.
extern "C" __global__ void softmax_rows(float *rows, int columns)
{
    float *row = rows + (Count)blockIdx.x * columns;
    float largest = -INFINITY;
    for (int at = threadIdx.x; at < columns; at += THREADS) largest = fmaxf(largest, row[at]);
    largest = block_maximum(largest);
    float sum = 0.0f;
    for (int at = threadIdx.x; at < columns; at += THREADS) sum += row[at] = expf(row[at] - largest);
    sum = block_sum(sum);
    for (int at = threadIdx.x; at < columns; at += THREADS) row[at] /= sum;
}

/// The sum of an image's values, weighted.
extern "C" __global__ void attention_context(const float *values, const float *weights, const unsigned *images,
    float *context, int regions, int hidden, Count count)
{
    EACH(at, count) {
        Count row = at / hidden;
        const float *value = values + images[row] * (Count)regions * hidden + at % hidden;
        float sum = 0.0f;
        for (int region = 0; region < regions; region++) sum += weights[row * regions + region] * value[(Count)region * hidden];
        context[at] = sum;
    }
}

/// The gradient of the weight of block (region, row): that of other uses, and that through the context.
extern "C" __global__ void attention_to_weights(const float *values, const float *context_gradient,
    const float *others, const unsigned *images, float *gradient, int regions, int hidden)
{
    Count region = blockIdx.y, row = blockIdx.x;
    const float *value = values + (images[row] * (Count)regions + region) * hidden;
    const float *down = context_gradient + row * hidden;
    float sum = 0.0f;
    for (int at = threadIdx.x; at < hidden; at += THREADS) sum += value[at] * down[at];
    sum = block_sum(sum);
    if (threadIdx.x == 0) gradient[row * regions + region] = sum + others[row * regions + region];
}

/// A block for each row: the gradient of weights becomes that of scores.
extern "C" __global__ void softmax_rows_back(const float *weights, float *gradient, int columns)
{
    const float *weight = weights + (Count)blockIdx.x * columns;
    float *row = gradient + (Count)blockIdx.x * columns;
    float mean = 0.0f;
    for (int at = threadIdx.x; at < columns; at += THREADS) mean += weight[at] * row[at];
    mean = block_sum(mean);
    for (int at = threadIdx.x; at < columns; at += THREADS) row[at] = weight[at] * (row[at] - mean);
}

/// From the gradient of the scores to that of the queries, added to it, and to that of the score's weight, for each row.
extern "C" __global__ void attention_to_queries(const float *keys, const float *queries, const float *score,
    const float *gradient, const unsigned *images, float *to_queries, float *to_score, int regions, int attention, Count count)
{
    EACH(at, count) {
        Count row = at / attention;
        int column = at % attention;
        const float *key = keys + images[row] * (Count)regions * attention + column;
        float of_query = 0.0f, of_score = 0.0f;
        for (int region = 0; region < regions; region++) {
            float squashed = tanhf(key[(Count)region * attention] + queries[at]), down = gradient[row * regions + region];
            of_query += down * score[column] * (1.0f - squashed * squashed);
            of_score += down * squashed;
        }
        to_queries[at] += of_query;
        to_score[at] = of_score;
    }
}

/// The gradient of the keys: each key collects it from the rows of its image, which `seen`, `starts` and `order` list as in
/// `scatter_rows`; `count` is the number of key values of those images.
extern "C" __global__ void attention_to_keys(const float *keys, const float *queries, const float *score,
    const float *gradient, const unsigned *seen, const unsigned *starts, const unsigned *order, float *to_keys,
    int regions, int attention, Count count)
{
    EACH(at, count) {
        int column = at % attention, region = at / attention % regions;
        Count which = at / attention / regions;
        Count place = (seen[which] * (Count)regions + region) * attention + column;
        float sum = 0.0f;
        for (unsigned next = starts[which]; next < starts[which + 1]; next++) {
            Count row = order[next];
            float squashed = tanhf(keys[place] + queries[row * attention + column]);
            sum += gradient[row * regions + region] * score[column] * (1.0f - squashed * squashed);
        }
        to_keys[place] += sum;
    }
}

/// The gradient of the values, in the same way.
extern "C" __global__ void attention_to_values(const float *weights, const float *context_gradient, const unsigned *seen,
    const unsigned *starts, const unsigned *order, float *to_values, int regions, int hidden, Count count)
{
    EACH(at, count) {
        int column = at % hidden, region = at / hidden % regions;
        Count which = at / hidden / regions;
        float sum = 0.0f;
        for (unsigned next = starts[which]; next < starts[which + 1]; next++) {
            Count row = order[next];
            sum += weights[row * regions + region] * context_gradient[row * hidden + column];
        }
        to_values[(seen[which] * (Count)regions + region) * hidden + column] += sum;
    }
}
