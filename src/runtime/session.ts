/**
 * A session owns variables and runs programs over them. Two kinds answer to the same interface: recorded
 * (one TF_SessionRun a call, off the JavaScript thread) and eager (operation by operation, the reference).
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../checkpoint/tensors.ts';
import type { NodeTiming } from './trace.ts';
import type { Variables } from './variables.ts';

export type Precision = 'float32' | 'bfloat16';
export type Mode = 'recorded' | 'eager';

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
  /** It takes a millisecond at most: run it on the JavaScript thread, in a turn of its own, rather than wait for another. */
  isBrief?: boolean;
}

/** What a program computes, as a function of tfjs tensors; called once when recorded, at each run when eager. */
export type Definition = (inputs: Record<string, Tensor>, variables: Variables) => Record<string, Tensor>;

export interface Session {
  readonly mode: Mode;
  readonly precision: Precision;
  readonly device: 'cpu' | 'cuda';
  readonly deviceReason: string;
  /** Parallel branches that programs should have: what was asked for on a CPU, 1 on a GPU. */
  readonly branches: number;
  /**
   * Makes variables with these initial values.
   *
   * @param stored what they are kept in; those in bfloat16 can only be read, as weights (`Variables.weights`)
   */
  addVariables(tensors: readonly NamedTensor[], stored?: Precision): Promise<void>;
  /**
   * A further name for a variable, under which programs know it by another shape: a variable may be assigned values of
   * several sizes, and a program that reads it must be recorded for one.
   */
  addView(view: string, variable: string, shape: number[]): void;
  /** The present values, in the order of `names`. */
  readVariables(names: readonly string[]): Promise<NamedTensor[]>;
  program(name: string, inputs: Record<string, InputSpec>, define: Definition, options?: ProgramOptions): Program;
  /** Runs `body` and returns what each node of the graph took in it. @throws where the session is eager */
  traced(body: () => Promise<void>): Promise<NodeTiming[]>;
  close(): void;
}

/** The values for an input, checked against its specification, so that a wrong length never reaches native code. */
export function checkedValues(program: string, input: string, spec: InputSpec, values: Values | undefined): Values {
  const size = spec.shape.reduce((product, dimension) => product * dimension, 1);
  const fits = spec.dtype === 'int32' ? values instanceof Int32Array : values instanceof Float32Array;
  if (!values || !fits || values.length !== size) {
    throw new Error(`program ${program}: input ${input} must be ${size} ${spec.dtype} values`);
  }
  return values;
}
