/**
 * Matrix products in bfloat16 around any binding: tfjs has no such type, so the inputs of MatMul and
 * BatchMatMulV2 are cast on the way in and the result on the way out. Everything between products
 * (norms, softmax, loss, optimizer, parameters) stays float32.
 */
import { typeAttribute, type Attribute, type Binding, type TensorHandle } from './binding.ts';
import { dataTypes } from './capi.ts';

const products = new Set(['MatMul', 'BatchMatMulV2']);

/**
 * @param reuseCasts casts of one tensor are shared by all products that read it: right while recording,
 *   where ids are never given twice; eagerly each cast is deleted after its product.
 */
export function bfloat16Products(binding: Binding, reuseCasts: boolean): Binding {
  const casts = new Map<number, number>();
  const cast = (id: number, from: number, to: number): TensorHandle =>
    binding.executeOp('Cast', [typeAttribute('SrcT', from), typeAttribute('DstT', to)], [id], 1)[0]!;
  const halve = (id: number): number => {
    const known = casts.get(id);
    if (known !== undefined) return known;
    const half = cast(id, dataTypes.float32, dataTypes.bfloat16).id;
    if (reuseCasts) casts.set(id, half);
    return half;
  };
  const product = (name: string, attributes: Attribute[], inputIds: number[]): TensorHandle[] => {
    const halves = inputIds.map(halve);
    const inHalves = attributes.map((a) => (a.name === 'T' ? typeAttribute('T', dataTypes.bfloat16) : a));
    const result = binding.executeOp(name, inHalves, halves, 1)[0]!;
    const output = cast(result.id, dataTypes.bfloat16, dataTypes.float32);
    if (!reuseCasts) for (const id of new Set([...halves, result.id])) binding.deleteTensor(id);
    return [output];
  };
  return {
    createTensor: (shape, dtype, values) => binding.createTensor(shape, dtype, values),
    deleteTensor: (id) => binding.deleteTensor(id),
    tensorDataSync: (id) => binding.tensorDataSync(id),
    executeOp: (name, attributes, inputIds, outputs) =>
      products.has(name)
        ? product(name, attributes, inputIds)
        : binding.executeOp(name, attributes, inputIds, outputs),
  };
}
