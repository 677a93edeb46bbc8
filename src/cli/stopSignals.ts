/**
 * Signals to a training process. SIGINT, SIGTERM and SIGHUP ask it to stop. Before training it stops immediately, since
 * there is nothing to save. In training the first signal lets the step finish and be saved; a second one stops
 * immediately, by the default handler, because process.exit would wait for the native call in flight. SIGUSR1 asks for
 * a checkpoint.
 */
import { constants } from 'node:os';
import { clearLive } from './terminal/liveLine.ts';

const stops = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface StopSignals {
  /** Aborts at the first signal or call of `stop`; its reason is the name of the signal or the reason of `stop`. */
  signal: AbortSignal;
  /** Stops like a signal, for another reason and with exit code 0. */
  stop(reason: string): void;
  /** Whether SIGUSR1 arrived since the last call. */
  takeSave(): boolean;
  /** The result, or `stopped` as soon as a signal arrives: for work that may be abandoned. */
  unlessStopped<Result>(work: Promise<Result>): Promise<Result | 'stopped'>;
  /** 128 plus the number of the signal that arrived; 0 without a signal. */
  exitCode(): number;
  close(): void;
}

/**
 * @param onFirst is called with the name of the first signal that asks to stop
 * @param onSave is called when SIGUSR1 asks for a checkpoint; without it the signal is not handled
 */
export function stopSignals(onFirst: (name: string) => unknown, onSave?: () => unknown): StopSignals {
  const controller = new AbortController();
  let received: (typeof stops)[number] | undefined;
  let isSaveWanted = false;
  const handlers = stops.map((name) => {
    const handler = (): void => {
      if (received !== undefined) {
        close();
        clearLive();
        process.kill(process.pid, name);
        return;
      }
      received = name;
      onFirst(name);
      controller.abort(name);
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  // The sweep that started this run has ended and can no longer stop it: stop now.
  const orphaned = (): void => void process.kill(process.pid, 'SIGTERM');
  if (process.connected) {
    process.once('disconnect', orphaned);
    process.channel?.unref();
  }
  const save = (): void => {
    isSaveWanted = true;
    onSave?.();
  };
  if (onSave) process.on('SIGUSR1', save); // without a listener Node opens its debugger
  const close = (): void => {
    process.off('disconnect', orphaned);
    for (const [name, handler] of handlers) process.off(name, handler);
  };
  return {
    signal: controller.signal,
    stop: (reason) => controller.abort(reason),
    takeSave: () => {
      const wanted = isSaveWanted;
      isSaveWanted = false;
      return wanted;
    },
    unlessStopped: (work) => {
      const stopped = new Promise<'stopped'>((resolve) => {
        if (controller.signal.aborted) resolve('stopped');
        controller.signal.addEventListener('abort', () => resolve('stopped'), { once: true });
      });
      return Promise.race([work, stopped]);
    },
    exitCode: () => (received === undefined ? 0 : 128 + constants.signals[received]),
    close,
  };
}
