/**
 * A session owns variables and runs programs over them. Two kinds answer to the same interface: recorded
 * (one TF_SessionRun a call, off the JavaScript thread) and eager (operation by operation, the reference).
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../checkpoint/tensors.ts';
import { EagerSession } from './eagerSession.ts';
import { RecordedSession } from './recordedSession.ts';
import { loadTensorFlow, type DeviceChoice } from './tensorflow.ts';
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

/** What a program computes, as a function of tfjs tensors; called once when recorded, at each run when eager. */
export type Definition = (inputs: Record<string, Tensor>, variables: Variables) => Record<string, Tensor>;

export interface Session {
  readonly mode: Mode;
  readonly precision: Precision;
  readonly device: 'cpu' | 'cuda';
  readonly deviceReason: string;
  /** Makes variables with these initial values. */
  addVariables(tensors: readonly NamedTensor[]): Promise<void>;
  /** The present values, in the order of `names`. */
  readVariables(names: readonly string[]): Promise<NamedTensor[]>;
  program(name: string, inputs: Record<string, InputSpec>, define: Definition): Program;
  close(): void;
}

/** Opens a session; loads TensorFlow on the first call of the process. */
export function openSession(options: { mode: Mode; precision: Precision; device: DeviceChoice }): Session {
  const tensorFlow = loadTensorFlow(options.device);
  return options.mode === 'recorded'
    ? new RecordedSession(tensorFlow, options.precision)
    : new EagerSession(tensorFlow, options.precision);
}
