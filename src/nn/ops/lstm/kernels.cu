// The cell of an LSTM, a thread for each unit of each row: all four gates, cell and hidden state in one pass.

/// Gates before their activations become activated gates. `before` is null at the first step.
extern "C" __global__ void lstm_cell(
    float *gates, const float *bias, const float *before, float *cell, float *output, int hidden, Count count)
{
    EACH(at, count) {
        int unit = at % hidden;
        float *gate = gates + at / hidden * 4 * hidden + unit;
        float input = gate[0], forget = gate[hidden], candidate = gate[2 * hidden], out = gate[3 * hidden];
        if (bias) {
            input += bias[unit];
            forget += bias[hidden + unit];
            candidate += bias[2 * hidden + unit];
            out += bias[3 * hidden + unit];
        }
        input = sigmoid(input);
        forget = sigmoid(forget);
        candidate = tanhf(candidate);
        out = sigmoid(out);
        float now = input * candidate + (before ? forget * before[at] : 0.0f);
        gate[0] = input;
        gate[hidden] = forget;
        gate[2 * hidden] = candidate;
        gate[3 * hidden] = out;
        cell[at] = now;
        output[at] = out * tanhf(now);
    }
}

/// The backward pass: activated gates become gradients before the activation; `through`, the gradient of the cell, becomes
/// that of the previous cell.
extern "C" __global__ void lstm_cell_back(float *gates, const float *cell, const float *before,
    const float *output_gradient, float *through, int hidden, Count count)
{
    EACH(at, count) {
        float *gate = gates + at / hidden * 4 * hidden + at % hidden;
        float input = gate[0], forget = gate[hidden], candidate = gate[2 * hidden], out = gate[3 * hidden];
        float squashed = tanhf(cell[at]), down = output_gradient[at];
        float gradient = through[at] + down * out * (1.0f - squashed * squashed);
        gate[0] = gradient * candidate * input * (1.0f - input);
        gate[hidden] = before ? gradient * before[at] * forget * (1.0f - forget) : 0.0f;
        gate[2 * hidden] = gradient * input * (1.0f - candidate * candidate);
        gate[3 * hidden] = down * squashed * out * (1.0f - out);
        through[at] = gradient * forget;
    }
}
