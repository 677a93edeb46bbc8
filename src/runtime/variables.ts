/**
 * Resource variables, read and updated inside a program. The same operations serve both kinds of session, so that eager
 * and recorded training do the same arithmetic.
 */
import { scalar, zeros, type Tensor } from '../tfjs.ts';
import {
  dataTypes,
  gatherAttributes,
  typeAttribute,
  type Attribute,
  type Bfloat16Use,
  type TensorHandle,
} from './binding.ts';
import type { TensorFlowBackend } from './tensorflow.ts';

/** What products are computed in. */
export type Precision = 'float32' | 'bfloat16';

/**
 * What a variable is stored in. int8 is for matrices alone: blocks of 32 numbers with a scale each, packed for the
 * kernel that multiplies with them (native/decoding/int8.h).
 */
export type StoredAs = Precision | 'int8';

/** TF_DataType of the value of a variable. */
export const storedType = (storedAs: StoredAs): number => dataTypes[storedAs === 'int8' ? 'uint8' : storedAs];

/** The value of a variable as generation reads it: in the type it is stored in, and without gradients. */
export interface StoredWeight {
  readonly shape: number[];
  readonly storedAs: StoredAs;
  /** Of the value as it is stored, in the binding of the moment: for operations that take this type. */
  readonly valueId: number;
  /** All of it; of a bfloat16 variable each call makes a copy. @throws if it is stored in int8 */
  inFloat32(): Tensor;
  /** The rows that `ids` (N) int32 name. */
  rowsInFloat32(ids: Tensor): Tensor;
}

export interface Variables {
  read(name: string): Tensor;
  weight(name: string): StoredWeight;
  assign(name: string, value: Tensor): void;
  assignAdd(name: string, value: Tensor): void;
  assignSubtract(name: string, value: Tensor): void;
  /**
   * Runs an operation that updates variables in place: its inputs are the handles of `names`, then `values`. Whatever
   * else reads the old values must have run, see `computedAfter`.
   */
  update(
    operation: string,
    attributes: Attribute[],
    names: readonly string[],
    values: readonly Tensor[],
    bfloat16?: Bfloat16Use,
  ): void;
}

/** A variable in the binding of the moment. */
export interface Variable {
  handleId: number;
  shape: number[];
  storedAs: StoredAs;
}

const dtype = typeAttribute('dtype', dataTypes.float32);

/**
 * Updates of one variable happen in the order in which they are written.
 *
 * @param variable throws for unknown names
 */
export function variableOperations(backend: TensorFlowBackend, variable: (name: string) => Variable): Variables {
  const one = (operation: string, attributes: Attribute[], ids: number[]): TensorHandle =>
    backend.binding.executeOp(operation, attributes, ids, 1)[0]!;
  const read = (name: string): Tensor =>
    backend.createOutputTensor(one('ReadVariableOp', [dtype], [variable(name).handleId]));
  const update: Variables['update'] = (operation, attributes, names, values, bfloat16) => {
    const handles = names.map((name) => variable(name).handleId);
    backend.binding.executeOp(operation, attributes, [...handles, ...backend.getInputTensorIds(values)], 0, bfloat16);
  };
  const weight = (name: string): StoredWeight => {
    const { handleId, shape, storedAs } = variable(name);
    const type = storedType(storedAs);
    const stored = one('ReadVariableOp', [typeAttribute('dtype', type)], [handleId]);
    const casts = [typeAttribute('SrcT', type), typeAttribute('DstT', dataTypes.float32)];
    const asFloats = (value: TensorHandle): Tensor =>
      backend.createOutputTensor(storedAs === 'float32' ? value : one('Cast', casts, [value.id]));
    const whole = storedAs === 'float32' ? asFloats(stored) : null;
    const rowsInFloat32 = (ids: Tensor): Tensor => {
      const given = (tensor: Tensor): number[] => [stored.id, ...backend.getInputTensorIds([ids, tensor])];
      return storedAs === 'int8'
        ? backend.createOutputTensor(one('ClmInt8Rows', [], given(zeros([shape[1]!]))))
        : asFloats(one('GatherV2', gatherAttributes(type), given(scalar(0, 'int32'))));
    };
    const inFloat32 = (): Tensor => {
      if (storedAs === 'int8') throw new Error(`${name} is stored in int8: products and rows of it are computed`);
      return whole ?? asFloats(stored);
    };
    return { shape, storedAs, valueId: stored.id, inFloat32, rowsInFloat32 };
  };
  return {
    read,
    weight,
    assign: (name, value) => update('AssignVariableOp', [dtype], [name], [value]),
    assignAdd: (name, value) => update('AssignAddVariableOp', [dtype], [name], [value]),
    assignSubtract: (name, value) => update('AssignSubVariableOp', [dtype], [name], [value]),
    update,
  };
}
