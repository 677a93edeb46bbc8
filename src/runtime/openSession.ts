/** The door to the runtime: loads TensorFlow and opens a session of the kind asked for. */
import { EagerSession } from './eagerSession.ts';
import { RecordedSession } from './recordedSession.ts';
import type { Mode, Precision, Session } from './session.ts';
import { loadTensorFlow, type DeviceChoice } from './tensorflow.ts';

/**
 * Opens a session; loads TensorFlow on the first call of the process.
 *
 * @param options.branches parallel branches its programs will have; the cores are shared among them (default 1)
 */
export function openSession(options: {
  mode: Mode;
  precision: Precision;
  device: DeviceChoice;
  branches?: number;
}): Session {
  const tensorFlow = loadTensorFlow(options.device);
  const branches = tensorFlow.device === 'cuda' ? 1 : (options.branches ?? 1);
  return options.mode === 'recorded'
    ? new RecordedSession(tensorFlow, options.precision, branches)
    : new EagerSession(tensorFlow, options.precision, branches);
}
