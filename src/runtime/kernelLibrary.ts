/** Loads the library of clm's native kernels (native/, compiled by the set-up) into this process. */
import os from 'node:os';
import { environmentFailure } from '../errors.ts';
import { wantsKernels } from '../processor.ts';
import type { UsableInstallation } from './installation/installation.ts';
import { koffi, type CFunction, type Pointer } from './libc.ts';

/**
 * Which of clm's kernels are used: none, those that compute with the processor's vectors, or these and the products and
 * attention that need its tile unit.
 */
export type Kernels = 'none' | 'vectors' | 'tiles';

interface KernelLibrary {
  /** Registers the kernels with TensorFlow; returns 0 or the TF_Code of the failure. */
  register: CFunction;
  /** How many threads each branch of the programs to come has. */
  setThreadsPerBranch: CFunction;
  /** 1 if the processor has a tile unit. */
  hasTiles: CFunction;
  /** Bytes per second at which the kernels' threads read memory of so many bytes; 0 if there is not so much. */
  readingSpeed: CFunction;
  packInt8: CFunction;
  decoder: DecoderFunctions;
  /** The address of a C function that does nothing with memory that is no longer needed. */
  keep: Pointer;
}

/** Of a step of decoding, see native/decoding/decoder.h and runtime/decoding/decoder.ts. */
interface DecoderFunctions {
  open: CFunction;
  close: CFunction;
  setCaches: CFunction;
  step: CFunction;
  takeTimes: CFunction;
}

/** `struct DecoderModel` of native/decoding/decoder.h, its fields in order. */
const sizesOfDecoder = {
  layers: 'int64_t',
  width: 'int64_t',
  heads: 'int64_t',
  keyValueHeads: 'int64_t',
  headSize: 'int64_t',
  feedForwardWidth: 'int64_t',
  vocabularySize: 'int64_t',
  weights: 'int32_t',
  positions: 'int32_t',
  isCentred: 'int32_t',
  isGated: 'int32_t',
  epsilon: 'float',
};

/** Sizes as in the config; `weights` and `positions` are places in `storedInDecoder`. */
export type SizesOfDecoder = Record<keyof typeof sizesOfDecoder, number>;

/** What weights are stored in, in the order of `enum class StoredAs`. */
export const storedInDecoder = ['float32', 'bfloat16', 'int8'] as const;

/** Kept for good: koffi unloads a library that nobody holds, and TensorFlow would then call into nothing. */
let library: KernelLibrary | undefined;

/**
 * Registers the kernels with the TensorFlow of this process, once. Those for int8 have no other form and are always
 * there.
 *
 * @returns those to use otherwise; none with CLM_FUSED_OPERATIONS=0 or on a machine of many cores, no tiles with
 *   CLM_TILE_PRODUCTS=0
 * @throws environment failure if the library does not load
 */
export function loadKernels({ kernelsPath, remedy }: UsableInstallation): Kernels {
  library = load(kernelsPath, remedy);
  const code = library.register();
  if (code !== 0) throw new Error(`clm's kernels could not be registered (TF_Code ${code})`);
  if (!wantsKernels()) return 'none';
  return process.env['CLM_TILE_PRODUCTS'] !== '0' && library.hasTiles() === 1 ? 'tiles' : 'vectors';
}

function load(file: string, remedy: string): KernelLibrary {
  try {
    const loaded = koffi().load(file);
    return {
      register: loaded.func('int RegisterClmOperations()'),
      setThreadsPerBranch: loaded.func('void SetClmThreadsPerBranch(int)'),
      hasTiles: loaded.func('int ClmHasTiles()'),
      readingSpeed: loaded.func('double ClmReadingSpeed(int64_t)'),
      keep: loaded.symbol('ClmKeep') as Pointer,
      decoder: decoderOf(loaded),
      packInt8: loaded.func('void ClmPackInt8(int, int64_t, int64_t, const float*, void*)'),
    };
  } catch (error) {
    throw environmentFailure(`clm's kernels do not load (${(error as Error).message}): ${remedy}.`);
  }
}

function decoderOf(loaded: ReturnType<ReturnType<typeof koffi>['load']>): DecoderFunctions {
  koffi().struct('DecoderModel', sizesOfDecoder);
  return {
    open: loaded.func('void* ClmNewDecoder(const DecoderModel*, const void**, const float*, const uint8_t*)'),
    close: loaded.func('void ClmDeleteDecoder(void*)'),
    setCaches: loaded.func('void ClmSetDecoderCaches(void*, int64_t, const void**)'),
    step: loaded.func('void ClmDecoderStep(void*, int, const int32_t*, const int32_t*, const int32_t*, float*)'),
    takeTimes: loaded.func('void ClmTakeDecoderTimes(void*, int64_t*, double*)'),
  };
}

/** The functions of a step of decoding. */
export const decoderFunctions = (): DecoderFunctions => library!.decoder;

/** Bytes per second at which the threads of clm's kernels read `bytes` of memory; 0 if there is not so much of it. */
export const kernelReadingSpeed = (bytes: number): number => library!.readingSpeed(bytes) as number;

/** Shares the cores among the branches of the program about to run. */
export const shareCores = (branches: number): void =>
  void library?.setThreadsPerBranch(Math.max(1, Math.floor(os.availableParallelism() / branches)));

/** Writes a matrix in int8 to `packed`, which has room for it. */
export const packInt8 = (
  isTransposed: boolean,
  inputs: number,
  outputs: number,
  values: Float32Array,
  packed: Pointer,
) => void library!.packInt8(isTransposed ? 1 : 0, inputs, outputs, values, packed);

/** For tensors of memory that outlives them, see `tensorInPlace`; undefined where the library is not loaded. */
export const keepMemory = (): Pointer | undefined => library?.keep;
