/**
 * A session owns variables and runs programs over them. There are two kinds: recorded (one TF_SessionRun a call, off
 * the JavaScript thread) and eager (operation by operation, the reference).
 */
import type { Tensor } from '../tfjs.ts';
import { elementCount, type NamedTensor } from '../tensors/tensors.ts';
import type { Decoder, DecoderModel } from './decoding/decoder.ts';
import type { Kernels } from './kernelLibrary.ts';
import type { ServerPlace } from './server.ts';
import type { NodeTiming } from './trace.ts';
import type { Precision, StoredAs, Variables } from './variables.ts';

export type Mode = 'recorded' | 'eager';

/** Shape and type of a program's input; int32 for token ids and counters. */
export interface InputSpec {
  shape: readonly number[];
  dtype: 'float32' | 'int32';
}
export type InputSpecs = Readonly<Record<string, InputSpec | undefined>>;

/** A tensor for each input, optional if the input is. */
export type Inputs<I> = { readonly [K in keyof I]: Tensor };

export type Values = Float32Array | Int32Array;

/** @typeParam I its inputs by name @typeParam O names of its outputs */
export interface Program<I = InputSpecs, O extends string = string> {
  /** Runs once and returns the outputs' float32 values. Calls must not overlap. */
  run(values: { readonly [K in keyof I]: Values }): Promise<Record<O, Float32Array>>;
}

export interface ProgramOptions {
  /**
   * Run its operations one after the other on one thread, which may share their work with others. Right for many small
   * ones, for which handing them from thread to thread would take longer than computing them.
   */
  onOneThread?: boolean;
  /** It takes at most a millisecond: run it on the JavaScript thread, where events wait for it for a few ms. */
  isBrief?: boolean;
}

/** What a program computes, as a function of tfjs tensors; called once if recorded, at each run if eager. */
export type Definition<I, O extends string> = (inputs: Inputs<I>, variables: Variables) => Record<O, Tensor>;

/** What is fixed when a session is opened. */
export interface SessionSettings {
  readonly mode: Mode;
  readonly precision: Precision;
  readonly device: 'cpu' | 'cuda';
  /** Why this device was chosen, as a readable message. */
  readonly deviceReason: string;
  /** Parallel branches that programs should have: what was asked for on a CPU, 1 on a GPU. */
  readonly branches: number;
  /** Those of them that this process computes: the cores are shared among them. */
  readonly ownBranches: number;
  /** The kernels of clm's that its programs are computed with. */
  readonly kernels: Kernels;
  /** Among the processes that compute together; undefined for one that computes alone. */
  readonly place?: ServerPlace | undefined;
}

/** How a variable is stored. */
export interface Storage {
  /** By default float32; another type can only be read, as a weight (`Variables.weight`). */
  storedAs?: StoredAs;
  /** Of a matrix in int8: whether products with it are x · wᵀ rather than x · w. */
  isTransposed?: boolean;
  /** Whether the values stay in memory for as long as the session: they need not be copied. */
  isKept?: boolean;
}

/** What a variable starts from, and how it is stored. */
export type InitialValue = NamedTensor & Storage;

export interface Session {
  readonly settings: SessionSettings;
  /** Programs give no results before this promise is fulfilled; if it is rejected, they fail as it does. */
  resultsAfter(check: Promise<void>): void;
  /** Creates variables. */
  addVariables(tensors: readonly InitialValue[]): Promise<void>;
  /**
   * A further name for a variable, under which programs know it by another shape: a variable may be assigned values of
   * several sizes, and a program that reads it must be recorded for one.
   */
  addView(view: string, variable: string, shape: number[]): void;
  /** The present values, in the order of `names`. */
  readVariables(names: readonly string[]): Promise<NamedTensor[]>;
  program<const I extends InputSpecs, O extends string>(
    name: string,
    inputs: I,
    define: Definition<I, O>,
    options?: ProgramOptions,
  ): Program<I, O>;
  /**
   * Steps of decoding outside of programs, over variables that nothing assigns from then on, but for the caches; null
   * where there is none. It ends with the session.
   */
  decoder(model: DecoderModel): Decoder | null;
  /** Runs `body` and returns how long each node of the graph took in it. @throws if the session is eager */
  traced(body: () => Promise<void>): Promise<NodeTiming[]>;
  close(): void;
}

/** The inputs of a program that are there, by name. */
export const inputEntries = (inputs: InputSpecs): [string, InputSpec][] =>
  Object.entries(inputs).filter((entry): entry is [string, InputSpec] => entry[1] !== undefined);

/** The values for an input, checked against its specification, so that a wrong length never reaches native code. */
export function checkedValues(program: string, input: string, spec: InputSpec, values: Values | undefined): Values {
  const size = elementCount(spec.shape);
  const fits = spec.dtype === 'int32' ? values instanceof Int32Array : values instanceof Float32Array;
  if (!values || !fits || values.length !== size) {
    throw new Error(`program ${program}: input ${input} must be ${size} ${spec.dtype} values`);
  }
  return values;
}

export const mapValues = <K extends string, A, B>(record: Record<K, A>, convert: (value: A) => B): Record<K, B> =>
  Object.fromEntries(Object.entries<A>(record).map(([key, value]) => [key, convert(value)])) as Record<K, B>;
