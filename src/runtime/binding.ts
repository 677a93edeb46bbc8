/**
 * What tfjs-node's backend asks of its binding, as far as clm uses it. Three things answer to it: the
 * binding itself (eager), the recorder, and the bfloat16 wrapper around either.
 */

/** An attribute of an operation as tfjs-node passes it; `type` is a TF_AttrType code. */
export interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** A tensor the binding knows: its id, TF_DataType and shape. */
export interface TensorHandle {
  id: number;
  dtype: number;
  shape: number[];
}

export interface Binding {
  createTensor(shape: number[], dtype: number, values: ArrayBufferView): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array;
  executeOp(name: string, attributes: Attribute[], inputIds: number[], outputs: number): TensorHandle[];
}

/** TF_AttrType codes, as in tensorflow/c/c_api.h. */
export const attributeTypes = { string: 0, int: 1, float: 2, bool: 3, type: 4, shape: 5 } as const;

export const typeAttribute = (name: string, value: number): Attribute => ({ name, type: attributeTypes.type, value });
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
