/**
 * The non-linear parts of the feed-forward, each with its own gradient: its activations are the largest the decoder
 * has, so every pass over them counts. On a CPU one operation does it all; composed ones do the same elsewhere.
 */
import { add, customGrad, mul, sigmoid, square, type Tensor } from '@tensorflow/tfjs-core';
import {
  fusedGelu,
  fusedGeluGradient,
  fusedSwiglu,
  fusedSwigluGradient,
  hasFusedOperations,
} from '../ops/fusedOperations.ts';
import { sigmoidGradient } from '../ops/operations.ts';

const linear = 2 * Math.sqrt(2 / Math.PI);
const cubic = linear * 0.044715;

/**
 * GELU in the tanh form of GPT-2 (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415), written as
 * x · sigmoid(2z) with z = √(2/π)(x + 0.044715 x³), which is the same since (1 + tanh z)/2 = sigmoid(2z).
 * x of any shape → same shape.
 */
export const gelu = (x: Tensor): Tensor => (hasFusedOperations() ? geluInOne(x) : composedGelu(x));

function geluInOne(x: Tensor): Tensor {
  const activate = customGrad((...args) => {
    const [input, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    save([input]);
    return { value: fusedGelu(input), gradFunc: (dy: Tensor, [u]: Tensor[]) => fusedGeluGradient(u!, dy) };
  });
  return activate(x);
}

/** The same from TensorFlow's operations. */
export function composedGelu(x: Tensor): Tensor {
  const activate = customGrad((...args) => {
    const [input, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const gate = sigmoid(mul(input, add(mul(square(input), cubic), linear)));
    save([input, gate]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [u, s] = saved as [Tensor, Tensor];
      const slope = add(mul(square(u), 3 * cubic), linear); // d(2z)/dx
      return [add(mul(dy, s), mul(sigmoidGradient(s, mul(dy, u)), slope))];
    };
    return { value: mul(input, gate), gradFunc };
  });
  return activate(x);
}

/**
 * SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202): silu(gate) · up, with silu(x) = x · sigmoid(x).
 * Both of one shape → same shape.
 */
export const swiglu = (gate: Tensor, up: Tensor): Tensor =>
  hasFusedOperations() ? swigluInOne(gate, up) : composedSwiglu(gate, up);

function swigluInOne(gate: Tensor, up: Tensor): Tensor {
  const activate = customGrad((...args) => {
    const [g, u, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    save([g, u]);
    const gradFunc = (dy: Tensor, [gateValue, upValue]: Tensor[]) => fusedSwigluGradient(gateValue!, upValue!, dy);
    return { value: fusedSwiglu(g, u), gradFunc };
  });
  return activate(gate, up);
}

/** The same from TensorFlow's operations. */
export function composedSwiglu(gate: Tensor, up: Tensor): Tensor {
  const activate = customGrad((...args) => {
    const [g, u, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    const s = sigmoid(g);
    const silu = mul(g, s);
    save([g, u, s, silu]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [gateValue, upValue, sigmoidValue, siluValue] = saved as [Tensor, Tensor, Tensor, Tensor];
      const dSilu = mul(dy, upValue);
      const dGate = add(mul(dSilu, sigmoidValue), sigmoidGradient(sigmoidValue, mul(dSilu, gateValue)));
      return [dGate, mul(dy, siluValue)];
    };
    return { value: mul(silu, u), gradFunc };
  });
  return activate(gate, up);
}
