/**
 * A session owns variables and runs programs over them. Two kinds answer to the same interface: recorded
 * (one TF_SessionRun a call, off the JavaScript thread) and eager (operation by operation, the reference).
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../tensors/tensors.ts';
import type { InputSpec, Program, ProgramOptions } from './program.ts';
import type { NodeTiming } from './trace.ts';
import type { Variables } from './variables.ts';

export type Precision = 'float32' | 'bfloat16';
export type Mode = 'recorded' | 'eager';

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
