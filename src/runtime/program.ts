/** A program of a session: what goes in, what comes out, and how it may run. */
import { elementCount } from '../tensors/tensors.ts';

/** Shape and type of a program's input; int32 for token ids and counters. */
export interface InputSpec {
  shape: readonly number[];
  dtype: 'float32' | 'int32';
}

export type Values = Float32Array | Int32Array;

export interface Program {
  /** Runs once; `inputs` are by name, the results float32 values by name. Calls must not overlap. */
  run(inputs: Record<string, Values>): Promise<Record<string, Float32Array>>;
}

export interface ProgramOptions {
  /**
   * Run its operations one after the other on one thread, which may share their work with others. Right for many small
   * ones, whose way between threads would take longer than they do.
   */
  onOneThread?: boolean;
  /**
   * It takes a millisecond at most: run it on the JavaScript thread, in a turn of its own, rather than wait for
   * another.
   */
  isBrief?: boolean;
}

/** The values for an input, checked against its specification, so that a wrong length never reaches native code. */
export function checkedValues(program: string, input: string, spec: InputSpec, values: Values | undefined): Values {
  const size = elementCount(spec.shape);
  const fits = spec.dtype === 'int32' ? values instanceof Int32Array : values instanceof Float32Array;
  if (!values || !fits || values.length !== size) {
    throw new Error(`program ${program}: input ${input} must be ${size} ${spec.dtype} values`);
  }
  return values;
}
