/** How fast this machine reads memory: the bound of decoding, which reads all weights for every token. */
import { max } from '../tfjs.ts';
import { kernelReadingSpeed } from '../runtime/kernelLibrary.ts';
import { openSession } from '../runtime/openSession.ts';
import { median } from '../statistics.ts';
import type { Session } from '../runtime/session.ts';
import type { DeviceChoice } from '../runtime/tensorflow.ts';

/** More than any cache holds. */
const bytes = 2 ** 30;
const passes = 5;

/**
 * Bytes per second, of the median pass over 1 GiB: on the threads of clm's kernels, or else on those that TensorFlow's
 * operations use, or on the GPU.
 *
 * @param session that is open; only where it uses no kernels of clm, another is opened
 */
export async function readingSpeed(device: DeviceChoice, { settings }: Session): Promise<number> {
  if (settings.kernels !== 'none') return kernelReadingSpeed(bytes);
  const session = openSession({ mode: 'recorded', precision: 'float32', device });
  try {
    const shape = [2 ** 16, bytes / 4 / 2 ** 16];
    await session.addVariables([{ name: 'read', shape, values: new Float32Array(bytes / 4) }]);
    const program = session.program('read', {}, (_, variables) => ({ largest: max(variables.read('read')) }));
    const speeds: number[] = [];
    for (let pass = 0; pass <= passes; pass++) {
      const startMs = performance.now();
      await program.run({});
      if (pass > 0) speeds.push(bytes / ((performance.now() - startMs) / 1000));
    }
    return median(speeds);
  } finally {
    session.close();
  }
}
