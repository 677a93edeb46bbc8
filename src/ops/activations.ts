/**
 * The non-linear parts of the feed-forward. Their inputs are the largest activations of a decoder, so every pass over
 * them counts, and each has a gradient of its own.
 */
import { add, mul, relu, sigmoid, square, type Tensor } from '../tfjs.ts';
import { float32Type } from '../runtime/binding.ts';
import { executeOne } from '../runtime/tensorflow.ts';
import { operation, runKernel } from './kernels.ts';
import { withGradient } from './withGradient.ts';

const linear = 2 * Math.sqrt(2 / Math.PI);
const cubic = linear * 0.044715;

/** dy · y · (1 − y) in one pass: the gradient of y = sigmoid(x). */
const sigmoidGradient = (y: Tensor, dy: Tensor): Tensor => executeOne('SigmoidGrad', [float32Type], [y, dy]);

/**
 * GELU in the tanh form of GPT-2 (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415), written as
 * x · sigmoid(2z) with z = √(2/π)(x + 0.044715 x³), which is the same since (1 + tanh z)/2 = sigmoid(2z).
 * x of any shape → same shape.
 */
export const gelu = operation({
  kernel: (x: Tensor): Tensor =>
    withGradient(
      [x],
      () => ({ value: runKernel('ClmGelu', [x])[0], saved: [x] }),
      (dy, [u]) => runKernel('ClmGeluGrad', [u, dy]),
    ),
  composed: (x: Tensor): Tensor =>
    withGradient(
      [x],
      () => {
        const gate = sigmoid(mul(x, add(mul(square(x), cubic), linear)));
        return { value: mul(x, gate), saved: [x, gate] };
      },
      (dy, [u, s]) => {
        const slope = add(mul(square(u), 3 * cubic), linear); // d(2z)/dx
        return [add(mul(dy, s), mul(sigmoidGradient(s, mul(dy, u)), slope))];
      },
    ),
});

/**
 * Squared ReLU (So et al. 2021, https://arxiv.org/abs/2109.08668): max(x, 0)². x of any shape → same shape.
 */
export const squaredRelu = operation({
  kernel: (x: Tensor): Tensor =>
    withGradient(
      [x],
      () => ({ value: runKernel('ClmSquaredRelu', [x])[0], saved: [x] }),
      (dy, [u]) => runKernel('ClmSquaredReluGrad', [u, dy]),
    ),
  composed: (x: Tensor): Tensor =>
    withGradient(
      [x],
      () => {
        const positive = relu(x);
        return { value: square(positive), saved: [positive] };
      },
      (dy, [u]) => [mul(mul(u, 2), dy)],
    ),
});

/**
 * SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202): silu(gate) · up, with silu(x) = x · sigmoid(x).
 * Both of one shape → same shape.
 */
export const swiglu = operation({
  kernel: (gate: Tensor, up: Tensor): Tensor =>
    withGradient(
      [gate, up],
      () => ({ value: runKernel('ClmSwiglu', [gate, up])[0], saved: [gate, up] }),
      (dy, [g, u]) => runKernel('ClmSwigluGrad', [g, u, dy]),
    ),
  composed: (gate: Tensor, up: Tensor): Tensor =>
    withGradient(
      [gate, up],
      () => {
        const s = sigmoid(gate);
        const silu = mul(gate, s);
        return { value: mul(silu, up), saved: [gate, up, s, silu] };
      },
      (dy, [g, u, s, silu]) => {
        const dSilu = mul(dy, u);
        return [add(mul(dSilu, s), sigmoidGradient(s, mul(dSilu, g))), mul(dy, silu)];
      },
    ),
});
