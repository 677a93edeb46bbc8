/**
 * The matrix products of a session, as a wrapper around any binding: in bfloat16 if that is the session's precision,
 * and by clm's kernels, on the processor's tile unit if there is one.
 *
 * tfjs has no bfloat16, so that every tensor looks like float32 to it. Here it is known which tensors are bfloat16:
 * results of products, what only moves their numbers (a transpose), and results of clm's kernels that the next product
 * reads. For every other operation they are cast to float32, so that everything between products (norms, softmax, loss,
 * optimizer, parameters) computes in float32.
 *
 * On tiles, products are computed by clm's kernels (native/kernels/products.cc): in float32 faster and nearer to the
 * exact product than TensorFlow's (docs/speed.md), in bfloat16 without a copy of float32 inputs. Elsewhere clm computes
 * those float32 products whose bits would depend on the number of threads, which share their inner dimension.
 */
import {
  dataTypes,
  typeAttribute,
  type Attribute,
  type Bfloat16Use,
  type Binding,
  type TensorHandle,
} from './binding.ts';
import type { Kernels } from './kernelLibrary.ts';
import type { Precision } from './variables.ts';

/**
 * @param reuseCasts casts of one tensor are shared by all that read it: right while recording, when an id is never used
 *   twice; eagerly each cast is deleted after its use
 */
export function withProducts(
  binding: Binding,
  { precision, kernels }: { precision: Precision; kernels: Kernels },
  reuseCasts: boolean,
): Binding {
  const onVectors = kernels === 'vectors' ? vectorProducts(binding) : binding;
  if (precision === 'bfloat16') return bfloat16Products(onVectors, kernels, reuseCasts);
  return kernels === 'tiles' ? tileProducts(binding) : onVectors;
}

/** What a kernel for TensorFlow's operation `name` ends in: null if that is no product, or one of two transposed. */
function formOf(name: string, attributes: readonly Attribute[]): '' | 'TransposedA' | 'TransposedB' | null {
  if (name !== 'BatchMatMulV2') return null;
  const isTransposed = (attribute: string): boolean => attributes.find((a) => a.name === attribute)?.value === true;
  const [a, b] = [isTransposed('adj_x'), isTransposed('adj_y')];
  return a && b ? null : a ? 'TransposedA' : b ? 'TransposedB' : '';
}

/**
 * The kernel on tiles in place of TensorFlow's operation.
 *
 * @param types TF_DataTypes of both inputs and of the output: all float32, or the output bfloat16
 */
function tileProduct(
  name: string,
  attributes: readonly Attribute[],
  types: { a: number; b: number; output: number },
): { name: string; attributes: Attribute[] } | null {
  const form = formOf(name, attributes);
  if (form === null) return null;
  return {
    name: `ClmProduct${form}`,
    attributes: [typeAttribute('A', types.a), typeAttribute('B', types.b), typeAttribute('T', types.output)],
  };
}

const float32 = { a: dataTypes.float32, b: dataTypes.float32, output: dataTypes.float32 };

/** Float32 products on tiles. */
const tileProducts = (binding: Binding): Binding => ({
  createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
  deleteTensor: (id) => binding.deleteTensor(id),
  tensorDataSync: (id) => binding.tensorDataSync(id),
  executeOp(name, attributes, inputIds, outputs) {
    const kernel = tileProduct(name, attributes, float32);
    return kernel === null
      ? binding.executeOp(name, attributes, inputIds, outputs)
      : binding.executeOp(kernel.name, kernel.attributes, inputIds, 1);
  },
});

/** Which products oneDNN computes alike with any number of threads, as far as was tried (docs/speed.md). */
const alike = {
  /** Results of more columns and more numbers; otherwise threads share the inner dimension. */
  columns: 128,
  numbers: 2 ** 15,
  /** aᵀ·b of fewer terms or more columns, for 8 threads; otherwise they share the terms. */
  termsOfTransposedA: 2048,
  columnsOfTransposedA: 512,
  /** Sizes are a multiple of this, or what is left over is computed in another order … */
  multiple: 16,
  /** … unless the result has at least so many numbers. */
  largeNumbers: 2 ** 22,
};

/**
 * Whether TensorFlow's product of these shapes, by oneDNN, may depend on the number of threads. In bfloat16 only those
 * of 2,048, 4,096 … terms do, as far as was tried.
 */
function mayDependOnThreads(
  a: number[] | undefined,
  b: number[] | undefined,
  form: string,
  isBfloat16: boolean,
): boolean {
  if (a === undefined || b === undefined || [...a, ...b].some((size) => size < 0)) return !isBfloat16;
  const [rows, inner] = form === 'TransposedA' ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
  const columns = b.at(form === 'TransposedB' ? -2 : -1)!;
  if (form === 'TransposedA' && inner >= alike.termsOfTransposedA && columns <= alike.columnsOfTransposedA)
    return !isBfloat16 || Number.isInteger(Math.log2(inner));
  if (isBfloat16) return false;
  if (columns <= alike.columns || rows * columns <= alike.numbers) return true;
  const isOdd = [rows, inner, columns].some((size) => size % alike.multiple !== 0);
  return isOdd && rows * columns < alike.largeNumbers;
}

/** Products on vector instructions: by TensorFlow but for those that would depend on the number of threads. */
function vectorProducts(binding: Binding): Binding {
  const shapes = new Map<number, number[]>();
  /** aᵀ·b in bfloat16 of some terms more that are 0: oneDNN's threads share terms whose number is a power of two. */
  function withMoreTerms(name: string, attributes: Attribute[], inputIds: number[]): TensorHandle[] {
    const types = [typeAttribute('T', dataTypes.bfloat16), typeAttribute('Tpaddings', dataTypes.int32)];
    const padded = inputIds.map((id) => {
      const rank = shapes.get(id)!.length;
      const sizes = new Int32Array(2 * rank); // before and after each axis
      sizes[2 * rank - 3] = alike.multiple; // after the last but one, the terms
      const sizesId = binding.createTensor([rank, 2], dataTypes.int32, sizes);
      const [longer] = binding.executeOp('Pad', types, [id, sizesId], 1);
      binding.deleteTensor(sizesId);
      return longer!.id;
    });
    const made = binding.executeOp(name, attributes, padded, 1);
    padded.forEach((id) => binding.deleteTensor(id));
    return made;
  }
  return {
    createTensor: (shape, dtype, values) => {
      const id = binding.createTensor(shape, dtype, values);
      shapes.set(id, shape);
      return id;
    },
    deleteTensor(id) {
      shapes.delete(id);
      binding.deleteTensor(id);
    },
    tensorDataSync: (id) => binding.tensorDataSync(id),
    executeOp(name, attributes, inputIds, outputs) {
      const form = formOf(name, attributes);
      const [a, b] = [shapes.get(inputIds[0]!), shapes.get(inputIds[1]!)];
      const isBfloat16 = attributes.some((each) => each.name === 'T' && each.value === dataTypes.bfloat16);
      const made =
        form === null || !mayDependOnThreads(a, b, form, isBfloat16)
          ? binding.executeOp(name, attributes, inputIds, outputs)
          : isBfloat16
            ? withMoreTerms(name, attributes, inputIds)
            : binding.executeOp(`ClmVectorProduct${form}`, [], inputIds, 1);
      for (const { id, shape } of made) shapes.set(id, shape);
      return made;
    },
  };
}

const product: Bfloat16Use = { inputs: [0, 1], outputs: [0] };
const mover: Bfloat16Use = { inputs: [], ifAlready: [0], outputs: 'all' };
/** TensorFlow's operations that take bfloat16; clm's kernels say it themselves (src/ops/kernels.ts). */
const operations: Readonly<Record<string, Bfloat16Use>> = {
  MatMul: product,
  BatchMatMulV2: product,
  Reshape: mover,
  Transpose: mover,
  Unpack: mover,
  SplitV: mover,
};

const useOf = (name: string, inputIds: readonly number[]): Bfloat16Use | undefined =>
  name === 'Pack' ? { inputs: [], ifAlready: inputIds.map((_, i) => i), outputs: 'all' } : operations[name];

function bfloat16Products(binding: Binding, kernels: Kernels, reuseCasts: boolean): Binding {
  /** Ids of the tensors that are bfloat16. */
  const bfloat16Ids = new Set<number>();
  /** The same numbers in the other type, by id. */
  const casts = new Map<number, number>();
  /** Made for one operation and deleted after it. */
  let temporary: number[] = [];

  const cast = (id: number, to: number): number => {
    const known = casts.get(id);
    if (known !== undefined) return known;
    const from = to === dataTypes.bfloat16 ? dataTypes.float32 : dataTypes.bfloat16;
    const made = binding.executeOp('Cast', [typeAttribute('SrcT', from), typeAttribute('DstT', to)], [id], 1)[0]!.id;
    if (reuseCasts) casts.set(id, made);
    else temporary.push(made);
    return made;
  };
  const inBfloat16 = (id: number): number => (bfloat16Ids.has(id) ? id : cast(id, dataTypes.bfloat16));
  const inFloat32 = (id: number): number => (bfloat16Ids.has(id) ? cast(id, dataTypes.float32) : id);
  const deleteTemporary = (): void => {
    temporary.forEach((id) => binding.deleteTensor(id));
    temporary = [];
  };

  const marked = (handle: TensorHandle): TensorHandle => {
    bfloat16Ids.add(handle.id);
    return { ...handle, dtype: dataTypes.float32 };
  };
  const typeOf = (id: number | undefined): number => (bfloat16Ids.has(id!) ? dataTypes.bfloat16 : dataTypes.float32);
  const execute = (
    name: string,
    attributes: Attribute[],
    inputIds: number[],
    outputs: number,
    use = useOf(name, inputIds),
  ): TensorHandle[] => {
    // A weight that is stored in bfloat16: products read it as it is.
    if (name === 'Cast' && attributes.some((a) => a.name === 'SrcT' && a.value === dataTypes.bfloat16))
      return binding.executeOp('Identity', [typeAttribute('T', dataTypes.bfloat16)], inputIds, 1).map(marked);
    const types = { a: typeOf(inputIds[0]), b: typeOf(inputIds[1]), output: dataTypes.bfloat16 };
    const onTiles = kernels === 'tiles' ? tileProduct(name, attributes, types) : null;
    if (onTiles !== null) return binding.executeOp(onTiles.name, onTiles.attributes, inputIds, 1).map(marked);
    const ifAlready = use?.ifAlready ?? [];
    if (use === undefined || !ifAlready.every((i) => bfloat16Ids.has(inputIds[i]!)))
      return binding.executeOp(name, attributes, inputIds.map(inFloat32), outputs);
    const inputs = inputIds.map((id, i) =>
      ifAlready.includes(i) ? id : use.inputs.includes(i) ? inBfloat16(id) : inFloat32(id),
    );
    const typed = attributes.map((a) => (a.name === 'T' ? typeAttribute('T', dataTypes.bfloat16) : a));
    return binding
      .executeOp(name, typed, inputs, outputs)
      .map((handle, i) => (use.outputs === 'all' || use.outputs.includes(i) ? marked(handle) : handle));
  };

  return {
    createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
    deleteTensor(id) {
      if (!reuseCasts) bfloat16Ids.delete(id); // the id may be used again
      binding.deleteTensor(id);
    },
    tensorDataSync(id) {
      try {
        return binding.tensorDataSync(inFloat32(id));
      } finally {
        deleteTemporary();
      }
    },
    executeOp(name, attributes, inputIds, outputs, use) {
      try {
        return execute(name, attributes, inputIds, outputs, use);
      } finally {
        deleteTemporary();
      }
    },
  };
}
