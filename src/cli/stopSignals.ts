/**
 * Signals that ask a process to stop. The first one stops it in good order: in training the step is finished and saved,
 * and the process ends with the code of that signal, however many more arrive, since one event often sends several: a
 * closed terminal, GNU timeout, a service manager. Only a person at the terminal cuts a save short, with another Ctrl-C
 * a while after reading that it would. SIGUSR1 asks for a checkpoint.
 */
import { constants } from 'node:os';
import { isHangupIgnored, isInForeground } from './surroundings.ts';
import { clearLive } from './terminal/liveLine.ts';
import { note } from './terminal/output.ts';

/** SIGXCPU and SIGUSR2 are what batch systems send before they kill a job that has used up its time. */
const stops = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGXCPU', 'SIGUSR2'] as const;

/** A Ctrl-C that was typed earlier than this after the offer was not an answer to it. */
const readingMs = 1000;

export interface StopSignals {
  /** Aborts at the first signal or call of `stop`; its reason is the name of the signal or the reason of `stop`. */
  signal: AbortSignal;
  /** Stops like a signal, for another reason and with exit code 0. */
  stop(reason: string): void;
  /** Whether SIGUSR1 arrived since the last call. */
  takeSave(): boolean;
  /** The result, or `stopped` as soon as a signal arrives: for work that may be abandoned. */
  unlessStopped<Result>(work: Promise<Result>): Promise<Result | 'stopped'>;
  /** 128 plus the number of the signal that arrived first; 0 without a signal, or if `stop` was called before it. */
  exitCode(): number;
  close(): void;
}

interface StopOptions {
  /** What the program does at the first signal, for the user; nothing if it ends at once. */
  doing: () => string | undefined;
  /** What a second Ctrl-C does, e.g. "stops at once, without saving". */
  again: string;
  /** Called before that. */
  onCut?: () => void;
  /** Called when SIGUSR1 asks for a checkpoint; without it the signal is not handled. */
  onSave?: () => void;
  /** Tells nobody but a person at the terminal. */
  isQuiet?: boolean;
  /** SIGHUP does nothing, as if started by nohup. */
  ignoreHangup?: boolean;
}

export function stopSignals({ doing, again, onCut, onSave, ...options }: StopOptions): StopSignals {
  const controller = new AbortController();
  const offer = openOffer();
  const ignored = options.ignoreHangup === true || isHangupIgnored() ? ['SIGHUP'] : [];
  let received: (typeof stops)[number] | undefined;
  let exitCode: number | undefined;
  let isSaveWanted = false;
  const handlers = stops.map((name) => {
    const handler = (): void => {
      if (ignored.includes(name)) return;
      if (received === undefined) {
        received = name;
        exitCode ??= 128 + constants.signals[name];
        announce(name);
        controller.abort(name);
      } else if (name === 'SIGINT' && offer.isTaken()) {
        removeHandlers();
        clearLive();
        onCut?.();
        // By the default handler, because process.exit would wait for the native call in flight.
        process.kill(process.pid, name);
      }
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  const announce = (name: string): void => {
    const what = doing();
    const isPerson = isInForeground();
    if (what === undefined || (options.isQuiet === true && !isPerson)) return;
    note(`${name}: ${what}${isPerson ? `; another Ctrl-C ${again}` : ''}`);
    if (isPerson) offer.make();
  };
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
  const removeHandlers = (): void => {
    process.off('disconnect', orphaned);
    for (const [name, handler] of handlers) process.off(name, handler);
  };
  return {
    signal: controller.signal,
    stop: (reason) => {
      exitCode ??= 0;
      controller.abort(reason);
    },
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
    exitCode: () => exitCode ?? 0,
    close: () => {
      offer.close();
      // After a signal the process is about to end, and another one must not change its exit code.
      if (received === undefined) removeHandlers();
      else process.exitCode ??= 0; // main.ts then exits without taking the handlers down
    },
  };
}

/** The offer to stop at once at another Ctrl-C, and whether a Ctrl-C that arrives now answers it. */
function openOffer(): { make(): void; isTaken(): boolean; close(): void } {
  let madeMs = Infinity;
  // While the program computes, signals wait: one that is heard only now may have been sent long ago. What had been
  // sent before a turn of the event loop began is heard in that turn.
  let heardUntilMs = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  return {
    make: () => {
      madeMs = performance.now();
      timer = setInterval(() => {
        const beganMs = performance.now();
        setImmediate(() => (heardUntilMs = beganMs));
      }, 50).unref();
    },
    isTaken: () => isInForeground() && heardUntilMs - madeMs >= readingMs,
    close: () => clearInterval(timer),
  };
}
