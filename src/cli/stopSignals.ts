/**
 * Signals that ask training to stop. The first lets the step finish and be saved; the second stops at once,
 * by the default handler, because process.exit would wait for the native call in flight.
 */
import { constants } from 'node:os';

const stops = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface StopSignals {
  signal: AbortSignal;
  /** 128 plus the number of the signal that came; 0 where none did. */
  exitCode(): number;
  close(): void;
}

export function stopSignals(onFirst: (name: string) => void): StopSignals {
  const controller = new AbortController();
  let received: (typeof stops)[number] | undefined;
  const handlers = stops.map((name) => {
    const handler = (): void => {
      if (received !== undefined) {
        close();
        process.kill(process.pid, name);
        return;
      }
      received = name;
      onFirst(name);
      controller.abort();
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
  const close = (): void => {
    process.off('disconnect', orphaned);
    for (const [name, handler] of handlers) process.off(name, handler);
  };
  return {
    signal: controller.signal,
    exitCode: () => (received === undefined ? 0 : 128 + constants.signals[received]),
    close,
  };
}
