/**
 * Matrix products in bfloat16 around any binding. tfjs has no such type, so that every tensor looks like float32 to it;
 * here it is known which ones are halves: what a product gave, what only moved numbers of a half (a transpose), and
 * what clm's own operations make for the next product. Whoever else reads a half gets it cast to float32, so that
 * everything between products (norms, softmax, loss, optimizer, parameters) computes in float32.
 */
import { typeAttribute, type Attribute, type Binding, type TensorHandle } from './binding.ts';
import { dataTypes } from './capi.ts';
import { tileProduct } from './tileProducts.ts';

/** How an operation takes halves; numbers are those of its inputs and outputs. */
interface Halves {
  /** Inputs made halves, if they are not. */
  inputs: readonly number[];
  /** Inputs taken as they are: their type decides the operation's. */
  asTheyAre?: readonly number[];
  /** Outputs that are halves where the operation's type is. */
  outputs: readonly number[] | 'all';
}

const product: Halves = { inputs: [0, 1], outputs: [0] };
const mover: Halves = { inputs: [], asTheyAre: [0], outputs: 'all' };

const operations: Readonly<Record<string, Halves>> = {
  MatMul: product,
  BatchMatMulV2: product,
  Reshape: mover,
  Transpose: mover,
  Unpack: mover,
  SplitV: mover,
  ClmGelu: { inputs: [0], outputs: [0] },
  ClmGeluGrad: { inputs: [0, 1], outputs: [0] },
  ClmSwiglu: { inputs: [0, 1], outputs: [0] },
  ClmSwigluGrad: { inputs: [0, 1, 2], outputs: [0, 1] },
  ClmNorm: { inputs: [], outputs: [0] },
  ClmNormGrad: { inputs: [4], outputs: [] },
  ClmAttentionWeights: { inputs: [0], outputs: [0] },
  ClmAttentionWeightsGrad: { inputs: [0, 1], outputs: [0] },
  ClmHeadsAttention: { inputs: [0], outputs: [0, 1] },
  ClmHeadsAttentionGrad: { inputs: [0, 1, 2], outputs: [0] },
  ClmCrossEntropy: { inputs: [0], outputs: [1] },
  ClmAdd: { inputs: [], asTheyAre: [1], outputs: [] },
  ClmSum: { inputs: [], asTheyAre: [0, 1], outputs: [] },
  ClmAddRows: { inputs: [], asTheyAre: [0], outputs: [0] },
  ClmHalfSquaredNorm: { inputs: [], asTheyAre: [0], outputs: [] },
  ClmAdamW: { inputs: [], asTheyAre: [4], outputs: [] },
  ClmAccumulate: { inputs: [], asTheyAre: [2], outputs: [] },
};

/** Those of an operation that puts tensors of one type together. */
const halvesOf = (name: string, inputIds: readonly number[]): Halves | undefined =>
  name === 'Pack' ? { inputs: [], asTheyAre: inputIds.map((_, i) => i), outputs: 'all' } : operations[name];

/**
 * @param reuseCasts casts of one tensor are shared by all that read it: right while recording, where ids are never
 *   given twice; eagerly each cast is deleted after its use.
 */
export function bfloat16Products(binding: Binding, reuseCasts: boolean): Binding {
  /** Ids of the tensors that are bfloat16. */
  const halves = new Set<number>();
  /** The same numbers in the other type, by id. */
  const casts = new Map<number, number>();
  /** Made for one operation and deleted after it. */
  let passing: number[] = [];

  const cast = (id: number, to: number): number => {
    const known = casts.get(id);
    if (known !== undefined) return known;
    const from = to === dataTypes.bfloat16 ? dataTypes.float32 : dataTypes.bfloat16;
    const made = binding.executeOp('Cast', [typeAttribute('SrcT', from), typeAttribute('DstT', to)], [id], 1)[0]!.id;
    if (reuseCasts) casts.set(id, made);
    else passing.push(made);
    return made;
  };
  const half = (id: number): number => (halves.has(id) ? id : cast(id, dataTypes.bfloat16));
  const full = (id: number): number => (halves.has(id) ? cast(id, dataTypes.float32) : id);
  const deletePassing = (): void => {
    passing.forEach((id) => binding.deleteTensor(id));
    passing = [];
  };

  const asHalf = (handle: TensorHandle): TensorHandle => {
    halves.add(handle.id);
    return { ...handle, dtype: dataTypes.float32 };
  };
  const typeOf = (id: number | undefined): number => (halves.has(id!) ? dataTypes.bfloat16 : dataTypes.float32);
  const execute = (name: string, attributes: Attribute[], inputIds: number[], outputs: number): TensorHandle[] => {
    const own = tileProduct(name, attributes, {
      a: typeOf(inputIds[0]),
      b: typeOf(inputIds[1]),
      output: dataTypes.bfloat16,
    });
    if (own !== null) return binding.executeOp(own.name, own.attributes, inputIds, 1).map(asHalf);
    const taken = halvesOf(name, inputIds);
    const asTheyAre = taken?.asTheyAre ?? [];
    const isHalf = taken !== undefined && (asTheyAre.length === 0 || asTheyAre.every((i) => halves.has(inputIds[i]!)));
    if (!isHalf) return binding.executeOp(name, attributes, inputIds.map(full), outputs);
    const inputs = inputIds.map((id, i) =>
      asTheyAre.includes(i) ? id : taken.inputs.includes(i) ? half(id) : full(id),
    );
    const inHalves = attributes.map((a) => (a.name === 'T' ? typeAttribute('T', dataTypes.bfloat16) : a));
    const isHalfOutput = (i: number): boolean => taken.outputs === 'all' || taken.outputs.includes(i);
    return binding
      .executeOp(name, inHalves, inputs, outputs)
      .map((handle, i) => (isHalfOutput(i) ? asHalf(handle) : handle));
  };

  return {
    createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
    deleteTensor(id) {
      if (!reuseCasts) halves.delete(id); // the id may be given again
      binding.deleteTensor(id);
    },
    tensorDataSync(id) {
      try {
        return binding.tensorDataSync(full(id));
      } finally {
        deletePassing();
      }
    },
    executeOp(name, attributes, inputIds, outputs) {
      try {
        return execute(name, attributes, inputIds, outputs);
      } finally {
        deletePassing();
      }
    },
  };
}

/** The nearest bfloat16 numbers, ties to even: the upper halves of the float32 ones. */
export function toHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const isNumber = (word & 0x7fffffff) <= 0x7f800000;
    halves[i] = isNumber ? (word + 0x7fff + ((word >>> 16) & 1)) >>> 16 : 0x7fc0;
  }
  return halves;
}
