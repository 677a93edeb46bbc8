/**
 * Loads tfjs-node on the libtensorflow that set-up installed, once a process, and hands out its backend.
 * Whatever must be in the environment before the library is loaded is set here.
 */
import { createRequire } from 'node:module';
import { closeSync, openSync } from 'node:fs';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { environmentFailure } from '../errors.ts';
import { attributeTypes, type Attribute, type Binding } from './binding.ts';
import { dataTypes, loadCApi, loadDescriptorFunctions, type CApi } from './capi.ts';
import { readInstallation, type Installation } from './installation.ts';
import { hasTiles, registerFusedOperations } from './operationsLibrary.ts';

/** The parts of tfjs-node's backend that clm relies on. */
export interface TensorFlowBackend {
  binding: Binding;
  getInputTensorIds(tensors: readonly tf.Tensor[]): number[];
  createOutputTensor(handle: { id: number; dtype: number; shape: number[] }): tf.Tensor;
  executeMultipleOutputs(name: string, attributes: Attribute[], inputs: readonly tf.Tensor[], n: number): tf.Tensor[];
}

export interface TensorFlow {
  /** tfjs-node's own binding: operations run at once. */
  eagerBinding: Binding & { getNumOfTensors(): number };
  backend: TensorFlowBackend;
  c: CApi;
  version: string;
  device: 'cpu' | 'cuda';
  /** Why this device was taken, for people. */
  deviceReason: string;
  /** See fusedOperations.ts. */
  hasFusedOperations: boolean;
  /** See tileProducts.ts. */
  hasTileProducts: boolean;
}

export type DeviceChoice = 'auto' | 'cpu' | 'cuda';

let loaded: TensorFlow | undefined;

/**
 * The TensorFlow of this process. The device is fixed by the first call: a later one with another
 * choice is refused, because the library reads it only while it is being loaded.
 *
 * @throws environment failure where set-up has not run, or `cuda` is asked for and there is none.
 */
export function loadTensorFlow(choice: DeviceChoice = 'auto'): TensorFlow {
  if (loaded) {
    if (choice !== 'auto' && choice !== loaded.device) {
      throw new Error(`TensorFlow already runs on ${loaded.device} in this process; it cannot change to ${choice}`);
    }
    return loaded;
  }
  const installation = readInstallation();
  if (choice === 'cuda' && installation.device !== 'cuda') {
    throw environmentFailure(
      'device: cuda was asked for, but the CPU build of libtensorflow is installed; run: npm run setup -- --device cuda',
    );
  }
  setEnvironment(choice === 'auto' ? installation.device : choice);
  loaded = withQuietStderr(() => load(installation));
  const usesGpu = tf.engine().backend !== undefined && isUsingGpu(loaded);
  const wanted = choice === 'auto' ? installation.device : choice;
  if (wanted === 'cuda' && !usesGpu) {
    throw environmentFailure(
      'device: the CUDA build of libtensorflow found no usable GPU (is the NVIDIA driver loaded?); run nvidia-smi to see, or train on the processor with --device cpu',
    );
  }
  loaded.device = usesGpu ? 'cuda' : 'cpu';
  loaded.hasFusedOperations = loaded.device === 'cpu' && registerFusedOperations(installation.operationsPath);
  loaded.hasTileProducts = loaded.hasFusedOperations && hasTiles();
  loaded.deviceReason = choice === 'auto' ? installation.why : `asked for (device: ${choice})`;
  return loaded;
}

/** The TensorFlow already loaded; a bug where nothing has loaded it. */
export function loadedTensorFlow(): TensorFlow {
  if (!loaded) throw new Error('TensorFlow is used before a session was opened');
  return loaded;
}

/** Whose operations compute, for people and for comparing runs: each choice rounds in its own way. */
export const operationsOf = ({ hasFusedOperations, hasTileProducts }: TensorFlow): string =>
  !hasFusedOperations ? "TensorFlow's" : hasTileProducts ? "clm's, products on the tile unit" : "clm's";

/** Is TensorFlow's own chatter wanted (CLM_TENSORFLOW_LOG=1)? */
const wantsTensorFlowLog = () => process.env['CLM_TENSORFLOW_LOG'] === '1';

function setEnvironment(device: 'cpu' | 'cuda'): void {
  if (!wantsTensorFlowLog()) process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '3'; // failures reach us as exceptions anyway
  if (device === 'cpu') process.env['CUDA_VISIBLE_DEVICES'] = '-1';
  // Lets a session have threads of its own, see sessionConfig in graph.ts.
  process.env['TF_OVERRIDE_GLOBAL_THREADPOOL'] ??= '1';
  // The eager context and the session are two contexts in one process and would fight over the memory.
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
}

function load(installation: Installation): TensorFlow {
  // tfjs calls two functions that Node 23 removed.
  const legacy = util as unknown as Record<string, unknown>;
  legacy['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  legacy['isArray'] ??= Array.isArray;
  try {
    createRequire(import.meta.url)('@tensorflow/tfjs-node-gpu');
  } catch (error) {
    // A library that is gone or cut off; the first line says which.
    const [reason] = (error as Error).message.split('\n');
    throw environmentFailure(`TensorFlow does not load (${reason}): run "npm run setup".`);
  }
  const backend = tf.engine().backend as unknown as TensorFlowBackend;
  const eagerBinding = backend.binding as TensorFlow['eagerBinding'];
  assertCodes(eagerBinding as unknown as Record<string, number>);
  const c = loadCApi(installation.libraryDirectory, process.platform === 'darwin' ? 'dylib' : 'so');
  return {
    eagerBinding,
    backend,
    c,
    version: c.TF_Version() as string,
    device: 'cpu',
    deviceReason: '',
    hasFusedOperations: false,
    hasTileProducts: false,
  };
}

/** Our copies of TensorFlow's enumerations must be the binding's. */
function assertCodes(binding: Record<string, number>): void {
  const expected: Record<string, number> = {
    TF_FLOAT: dataTypes.float32,
    TF_INT32: dataTypes.int32,
    TF_BOOL: dataTypes.bool,
    TF_RESOURCE: dataTypes.resource,
    TF_ATTR_STRING: attributeTypes.string,
    TF_ATTR_INT: attributeTypes.int,
    TF_ATTR_FLOAT: attributeTypes.float,
    TF_ATTR_BOOL: attributeTypes.bool,
    TF_ATTR_TYPE: attributeTypes.type,
    TF_ATTR_SHAPE: attributeTypes.shape,
  };
  for (const [name, code] of Object.entries(expected)) {
    if (binding[name] !== code) throw new Error(`tfjs-node's ${name} is ${binding[name]}, clm expects ${code}`);
  }
}

const isUsingGpu = (tensorFlow: TensorFlow): boolean =>
  (tensorFlow.backend as unknown as { isUsingGpuDevice: boolean }).isUsingGpuDevice;

/**
 * Runs `body` with file descriptor 2 on /dev/null: kernels register themselves with messages that no log
 * level stops, because it is read after them. By dup and dup2, so that what shares the descriptor's offset
 * (a log file that takes stdout too) is not disturbed.
 */
function withQuietStderr<T>(body: () => T): T {
  if (wantsTensorFlowLog()) return body();
  const { dup, dup2 } = loadDescriptorFunctions();
  const kept = dup(2);
  if (kept < 0) return body();
  const nowhere = openSync('/dev/null', 'a');
  dup2(nowhere, 2);
  closeSync(nowhere);
  try {
    return body();
  } finally {
    dup2(kept, 2);
    closeSync(kept);
  }
}
