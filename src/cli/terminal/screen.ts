/**
 * The whole screen of a terminal, as `top` takes it. Whatever ends or stops the program (Ctrl-C, Ctrl-\, Ctrl-Z, a
 * hangup), the terminal has its own screen and its cursor again; after Ctrl-Z and `fg` the screen is taken back.
 */

/** Signals whose default action follows once the terminal is restored. */
const passed = ['SIGTSTP', 'SIGQUIT', 'SIGHUP', 'SIGTERM', 'SIGINT'] as const;

/** How long a stop takes to arrive after it was asked for; a terminal without a shell's job control ignores it. */
const stopMs = 50;

export interface Screen {
  /** Draws lines from the top left corner; what was there before is gone. */
  show(lines: readonly string[]): void;
  /** Gives the screen back; further calls do nothing. */
  close(): void;
}

/**
 * @param draw is called when the size has changed, and when the program continues after a stop
 * @param stop is called by the first SIGINT or SIGTERM; a second one ends the program
 */
export function openScreen(draw: () => void, stop: () => void): Screen {
  let isShown = false;
  let isStopping = false;
  const enter = (): void => {
    if (isShown) return;
    isShown = true;
    process.stdout.write('\x1b[?1049h\x1b[?25l');
  };
  const leave = (): void => {
    if (isShown) process.stdout.write('\x1b[?25h\x1b[?1049l');
    isShown = false;
  };
  const takeBack = (): void => {
    // After a stop its handler is set again, at once: the next one may follow soon.
    if (process.listenerCount('SIGTSTP') === 0) process.on('SIGTSTP', handlers.get('SIGTSTP')!);
    enter();
    draw();
  };
  const handlers = new Map<NodeJS.Signals, () => void>();
  for (const name of passed)
    handlers.set(name, () => {
      if (!isStopping && (name === 'SIGINT' || name === 'SIGTERM')) {
        isStopping = true;
        stop();
        return;
      }
      leave();
      process.off(name, handlers.get(name)!);
      process.kill(process.pid, name);
      if (name !== 'SIGTSTP') return;
      setTimeout(() => {
        if (!isShown && handlers.has(name)) takeBack();
      }, stopMs);
    });
  handlers.set('SIGCONT', takeBack); // also after SIGSTOP, when the shell has written over the screen
  for (const [name, handler] of handlers) process.on(name, handler);
  process.stdout.on('resize', draw);
  enter();
  return {
    show: (lines) => {
      if (isShown) process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\n')}\x1b[J`);
    },
    close: () => {
      leave();
      process.stdout.off('resize', draw);
      for (const [name, handler] of handlers) process.off(name, handler);
      handlers.clear();
    },
  };
}
