/**
 * clm's native kernels (native/kernels/*.cc): each computes in one pass over memory what TensorFlow's own operations
 * need several for. This file has the table of them and is the only one that decides whether they are used.
 *
 * An operation with a kernel has two forms, which compute the same up to rounding: `kernel` calls it, `composed` is
 * made of TensorFlow's operations. A session says which kernels it computes with (`Kernels` in
 * runtime/kernelLibrary.ts: none on a GPU, on many cores and with CLM_FUSED_OPERATIONS=0), and the form is picked while
 * a program of it is recorded or runs.
 */
import type { Tensor } from '../tfjs.ts';
import { float32Type, type Attribute, type Bfloat16Use } from '../runtime/binding.ts';
import { kernelsInUse } from '../runtime/recording.ts';
import { executeOperation, type OperationInput } from '../runtime/tensorflow.ts';
import type { Variables } from '../runtime/variables.ts';

interface Kernel {
  /** How many tensors it returns; 0 if it updates a variable. */
  outputs: 0 | 1 | 2 | 3;
  /**
   * Which of its inputs and outputs are bfloat16 in a session with bfloat16 products: its attribute T is then bfloat16
   * rather than float32. null if it has no such attribute, or its caller sets it.
   */
  bfloat16: Bfloat16Use | null;
}

/** The kernels by the name under which their .cc file registers them. */
const kernels = {
  ClmGelu: { outputs: 1, bfloat16: { inputs: [0], outputs: [0] } },
  ClmGeluGrad: { outputs: 1, bfloat16: { inputs: [0, 1], outputs: [0] } },
  ClmSquaredRelu: { outputs: 1, bfloat16: { inputs: [0], outputs: [0] } },
  ClmSquaredReluGrad: { outputs: 1, bfloat16: { inputs: [0, 1], outputs: [0] } },
  ClmSwiglu: { outputs: 1, bfloat16: { inputs: [0, 1], outputs: [0] } },
  ClmSwigluGrad: { outputs: 2, bfloat16: { inputs: [0, 1, 2], outputs: [0, 1] } },
  ClmNorm: { outputs: 3, bfloat16: { inputs: [], outputs: [0] } },
  ClmNormGrad: { outputs: 2, bfloat16: { inputs: [4], outputs: [] } },
  ClmBlockAttention: { outputs: 2, bfloat16: { inputs: [0, 1, 2], outputs: [0] } },
  ClmBlockAttentionGrad: { outputs: 3, bfloat16: { inputs: [0, 1, 2, 7, 9], outputs: [0, 1, 2] } },
  ClmHeadsAttention: { outputs: 2, bfloat16: { inputs: [0], outputs: [0, 1] } },
  ClmHeadsAttentionGrad: { outputs: 1, bfloat16: { inputs: [0, 1, 2], outputs: [0] } },
  ClmPromptAttention: { outputs: 1, bfloat16: { inputs: [0], outputs: [0] } },
  ClmCachedAttention: { outputs: 1, bfloat16: null },
  ClmCrossEntropy: { outputs: 2, bfloat16: { inputs: [0], outputs: [1] } },
  ClmAdd: { outputs: 1, bfloat16: { inputs: [], ifAlready: [1], outputs: [] } },
  ClmSum: { outputs: 1, bfloat16: { inputs: [], ifAlready: [0, 1], outputs: [] } },
  ClmAddRows: { outputs: 1, bfloat16: { inputs: [], ifAlready: [0], outputs: [0] } },
  ClmHalfSquaredNorm: { outputs: 1, bfloat16: { inputs: [], ifAlready: [0], outputs: [] } },
  ClmColumnSums: { outputs: 1, bfloat16: { inputs: [], ifAlready: [0], outputs: [] } },
  ClmLowRank: { outputs: 2, bfloat16: { inputs: [0, 1], outputs: [0] } },
  ClmLowRankGrad: { outputs: 3, bfloat16: { inputs: [0, 1, 2], outputs: [0] } },
  ClmManyRows: { outputs: 1, bfloat16: null },
  ClmManyRowsTransposed: { outputs: 1, bfloat16: null },
  ClmFewRows: { outputs: 1, bfloat16: null },
  ClmFewRowsTransposed: { outputs: 1, bfloat16: null },
  ClmInt8Product: { outputs: 1, bfloat16: null },
  ClmAdamW: { outputs: 0, bfloat16: { inputs: [], ifAlready: [4], outputs: [] } },
  ClmMuon: { outputs: 0, bfloat16: { inputs: [], ifAlready: [3], outputs: [] } },
  ClmAccumulate: { outputs: 0, bfloat16: { inputs: [], ifAlready: [1], outputs: [] } },
} as const satisfies Record<string, Kernel>;

type KernelName = keyof typeof kernels;
type OutputsOf<N extends KernelName> = [
  [],
  [Tensor],
  [Tensor, Tensor],
  [Tensor, Tensor, Tensor],
][(typeof kernels)[N]['outputs']];

/** Its attribute T; in bfloat16, the session replaces it (runtime/products.ts). */
const typeOf = (kernel: Kernel): Attribute[] => (kernel.bfloat16 === null ? [] : [float32Type]);

/** Calls a kernel. @param attributes those it has besides T, see `Kernel.bfloat16` */
export function runKernel<N extends KernelName>(
  name: N,
  inputs: readonly OperationInput[],
  attributes: readonly Attribute[] = [],
): OutputsOf<N> {
  const kernel: Kernel = kernels[name];
  const all = [...typeOf(kernel), ...attributes];
  return executeOperation(name, all, inputs, kernel.outputs, kernel.bfloat16 ?? undefined) as OutputsOf<N>;
}

/** Calls a kernel that updates the variable `variable` in place. */
export function updateByKernel(
  variables: Variables,
  name: 'ClmAdamW' | 'ClmMuon' | 'ClmAccumulate',
  variable: string,
  inputs: readonly Tensor[],
  attributes: readonly Attribute[] = [],
): void {
  const kernel: Kernel = kernels[name];
  variables.update(name, [...typeOf(kernel), ...attributes], [variable], inputs, kernel.bfloat16 ?? undefined);
}

/** The two forms of an operation. */
export interface Forms<F> {
  kernel: F;
  composed: F;
}

/** The form that the session computes with. @param needs the kernels without which it is the composed one */
export const pick = <F>({ kernel, composed }: Forms<F>, needs: 'vectors' | 'tiles' = 'vectors'): F => {
  const offered = kernelsInUse();
  return offered === needs || offered === 'tiles' ? kernel : composed;
};

/** An operation that is computed in the form that the session picks; each form can be called by name. */
export const operation = <A extends unknown[], R>(
  forms: Forms<(...args: A) => R>,
  needs?: 'vectors' | 'tiles',
): ((...args: A) => R) & Forms<(...args: A) => R> => Object.assign((...args: A) => pick(forms, needs)(...args), forms);
