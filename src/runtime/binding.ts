/**
 * What tfjs-node's backend asks of its binding, as far as clm uses it. Three things implement it: the binding itself
 * (eager), the recorder, and the wrapper for matrix products around either (products.ts).
 */

/** An attribute of an operation as tfjs-node passes it; `type` is a TF_AttrType code. */
export interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** A tensor of the binding: its id, TF_DataType and shape. */
export interface TensorHandle {
  id: number;
  dtype: number;
  shape: number[];
}

/** How an operation takes bfloat16 tensors; numbers are the places of its inputs and outputs. */
export interface Bfloat16Use {
  /** Inputs that are cast to bfloat16 if they are not. */
  inputs: readonly number[];
  /** Inputs that are never cast: the operation is in bfloat16 only if all of these already are. */
  ifAlready?: readonly number[];
  /** Outputs that are bfloat16 if the operation is. */
  outputs: readonly number[] | 'all';
}

export interface Binding {
  createTensor(shape: number[], dtype: number, values: ArrayBufferView): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array;
  /** @param bfloat16 for an operation that products.ts does not know: only clm's kernels say it themselves */
  executeOp(
    name: string,
    attributes: Attribute[],
    inputIds: number[],
    outputs: number,
    bfloat16?: Bfloat16Use,
  ): TensorHandle[];
}

/** TF_DataType codes, as in tensorflow/c/tf_datatype.h. */
export const dataTypes = { float32: 1, int32: 3, uint8: 4, bool: 10, bfloat16: 14, resource: 20 } as const;

/** TF_AttrType codes, as in tensorflow/c/c_api.h. */
export const attributeTypes = { string: 0, int: 1, float: 2, bool: 3, type: 4, shape: 5 } as const;

export const typeAttribute = (name: string, value: number): Attribute => ({ name, type: attributeTypes.type, value });
/** The attribute T of an operation on float32. */
export const float32Type = typeAttribute('T', dataTypes.float32);
export const intAttribute = (name: string, value: number): Attribute => ({ name, type: attributeTypes.int, value });
export const floatAttribute = (name: string, value: number): Attribute => ({ name, type: attributeTypes.float, value });
export const boolAttribute = (name: string, value: boolean): Attribute => ({ name, type: attributeTypes.bool, value });
export const shapeAttribute = (name: string, value: readonly number[]): Attribute => ({
  name,
  type: attributeTypes.shape,
  value,
});
export const stringAttribute = (name: string, value: string): Attribute => ({
  name,
  type: attributeTypes.string,
  value,
});

/** Attributes of GatherV2 along the first axis. @param type TF_DataType of the table */
export const gatherAttributes = (type: number): Attribute[] => [
  intAttribute('batch_dims', 0),
  typeAttribute('Tparams', type),
  typeAttribute('Tindices', dataTypes.int32),
  typeAttribute('Taxis', dataTypes.int32),
];
