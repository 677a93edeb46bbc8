/** Loads TensorFlow and opens a session of the kind asked for. */
import { EagerSession } from './eagerSession.ts';
import type { Kernels } from './kernelLibrary.ts';
import { RecordedSession } from './recordedSession.ts';
import type { ServerPlace } from './server.ts';
import type { Mode, Session, SessionSettings } from './session.ts';
import { loadTensorFlow, type DeviceChoice } from './tensorflow.ts';
import type { Precision } from './variables.ts';

const order: readonly Kernels[] = ['none', 'vectors', 'tiles'];

/**
 * Opens a session; loads TensorFlow on the first call of the process.
 *
 * @param options.branches parallel branches its programs will have; the cores are shared among them (default 1)
 * @param options.ownBranches those of them that this process computes (default: all)
 * @param options.place among the processes that compute together (default: this one computes alone)
 * @param options.kernels fewer of clm's kernels than this machine has (default: all), for comparison
 */
export function openSession(options: {
  mode: Mode;
  precision: Precision;
  device: DeviceChoice;
  branches?: number;
  ownBranches?: number;
  kernels?: Kernels;
  place?: ServerPlace | undefined;
}): Session {
  const { mode, precision, place } = options;
  const tensorFlow = loadTensorFlow(options.device);
  const { device, deviceReason } = tensorFlow;
  const asked = order.indexOf(options.kernels ?? 'tiles');
  const kernels = order[Math.min(asked, order.indexOf(tensorFlow.kernels))]!;
  const branches = device === 'cuda' ? 1 : (options.branches ?? 1);
  const ownBranches = Math.min(branches, options.ownBranches ?? branches);
  const settings: SessionSettings = { mode, precision, device, deviceReason, branches, ownBranches, kernels, place };
  return mode === 'recorded' ? new RecordedSession(tensorFlow, settings) : new EagerSession(tensorFlow, settings);
}
