/**
 * Signals to a training process. SIGINT, SIGTERM and SIGHUP ask it to stop: while it prepares, at once, since there is
 * nothing to save; in training the first lets the step finish and be saved, and a second stops at once, by the default
 * handler, because process.exit would wait for the native call in flight. SIGUSR1 asks for a checkpoint.
 */
import { constants } from 'node:os';
import { clearLive } from './terminal/liveLine.ts';

const stops = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface StopSignals {
  /** Aborts at the first signal, or by `stop`; its reason is the signal's name or what `stop` was given. */
  signal: AbortSignal;
  /** Stops as a signal would, for another reason and with exit code 0. */
  stop(reason: string): void;
  /** Whether SIGUSR1 came since the last call. */
  takeSave(): boolean;
  /** The result, or `stopped` as soon as a signal comes: for work that may be given up half done. */
  unlessStopped<Result>(work: Promise<Result>): Promise<Result | 'stopped'>;
  /** 128 plus the number of the signal that came; 0 where none did. */
  exitCode(): number;
  close(): void;
}

/**
 * @param onFirst is called with the name of the first signal that asks to stop
 * @param onSave is called when a checkpoint is asked for; without it SIGUSR1 is left alone
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
  // A sweep that started this run and is gone can stop it no more; its end is a stop.
  const orphaned = (): void => void process.kill(process.pid, 'SIGTERM');
  if (process.connected) {
    process.once('disconnect', orphaned);
    process.channel?.unref();
  }
  const save = (): void => {
    isSaveWanted = true;
    onSave?.();
  };
  if (onSave) process.on('SIGUSR1', save); // without a listener Node would open its debugger
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
