/** The door to the runtime: loads TensorFlow and opens a session of the kind asked for. */
import { EagerSession } from './eagerSession.ts';
import { RecordedSession } from './recordedSession.ts';
import type { Mode, Precision, Session } from './session.ts';
import { loadTensorFlow, type DeviceChoice } from './tensorflow.ts';

/** Opens a session; loads TensorFlow on the first call of the process. */
export function openSession(options: { mode: Mode; precision: Precision; device: DeviceChoice }): Session {
  const tensorFlow = loadTensorFlow(options.device);
  return options.mode === 'recorded'
    ? new RecordedSession(tensorFlow, options.precision)
    : new EagerSession(tensorFlow, options.precision);
}
