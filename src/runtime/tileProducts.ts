/**
 * Matrix products on a processor's tile unit, by clm's own operations (native/kernels/product.cc), in place of TensorFlow's:
 * in float32 faster and nearer to the exact product (docs/speed.md), in bfloat16 without a copy of float32 inputs.
 * TensorFlow's remain where there is no such unit, and are what tests hold these to.
 */
import { typeAttribute, type Attribute, type Binding } from './binding.ts';
import { dataTypes } from './capi.ts';
import { loadedTensorFlow } from './tensorflow.ts';

/** Are products computed on tiles in this process? */
export const hasTileProducts = (): boolean => loadedTensorFlow().hasTileProducts;

/**
 * The own operation in place of TensorFlow's `name`: null where that is no product, none of tiles, or one of two
 * transposed matrices.
 *
 * @param types TF_DataTypes of both inputs and of the output: all float32, or the output bfloat16
 */
export function tileProduct(
  name: string,
  attributes: readonly Attribute[],
  types: { a: number; b: number; output: number },
): { name: string; attributes: Attribute[] } | null {
  if (name !== 'BatchMatMulV2' || !hasTileProducts()) return null;
  const isTransposed = (attribute: string): boolean => attributes.find((a) => a.name === attribute)?.value === true;
  const [a, b] = [isTransposed('adj_x'), isTransposed('adj_y')];
  if (a && b) return null;
  return {
    name: a ? 'ClmProductTransposedA' : b ? 'ClmProductTransposedB' : 'ClmProduct',
    attributes: [typeAttribute('A', types.a), typeAttribute('B', types.b), typeAttribute('T', types.output)],
  };
}

const float32 = { a: dataTypes.float32, b: dataTypes.float32, output: dataTypes.float32 };

/** `binding` with its float32 products on tiles, where there are any. */
export const float32Products = (binding: Binding): Binding => ({
  createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
  deleteTensor: (id) => binding.deleteTensor(id),
  tensorDataSync: (id) => binding.tensorDataSync(id),
  executeOp(name, attributes, inputIds, outputs) {
    const own = tileProduct(name, attributes, float32);
    return own === null
      ? binding.executeOp(name, attributes, inputIds, outputs)
      : binding.executeOp(own.name, own.attributes, inputIds, 1);
  },
});
