/**
 * The processes that train one run together, as one of them sees them. A process that trains alone has no group.
 * Meeting, messages and the watchdog are in a thread of their own (controlThread.ts).
 */
import { isIPv6 } from 'node:net';
import { Worker } from 'node:worker_threads';
import { failureOfKind, type FailureKind } from '../errors.ts';
import { endProcess } from '../runtime/libc.ts';
import { unreachableRank, type ServerPlace } from '../runtime/server.ts';
import type { ControlData, News, Order } from './controlMessages.ts';
import { unreachableFailure, type GroupFailure } from './failure.ts';
import type { Identity } from './identity.ts';
import { markEnding, newMarks, readMarks, setMark, type Activity } from './marks.ts';
import type { MeetingPlace } from './meeting.ts';

export interface GroupOptions extends MeetingPlace {
  /** Within this time of a failure all processes have ended. */
  watchdogMs: number;
}

/** A process of a group; owns the thread that is connected to the others. */
export class ProcessGroup {
  /** 0 … size − 1. Rank 0 alone writes to the run directory and the terminal. */
  readonly rank: number;
  readonly size: number;
  /** Of all processes, by rank. */
  readonly identities: readonly Identity[];
  /** The address of this process that the others reach. */
  readonly address: string;
  /** Rejects once a process of the group has failed, with what all of them are told. */
  readonly failed: Promise<never>;
  /** Where the TensorFlow servers are, once `openServers` has told. */
  place: ServerPlace | undefined;
  readonly #control: Control;
  #exchanges = 0;
  #hasFailed = false;
  readonly #options: GroupOptions;

  constructor(options: GroupOptions, control: Control, met: { address: string; ranks: Identity[] }) {
    this.rank = options.rank;
    this.size = options.size;
    this.address = met.address;
    this.identities = met.ranks;
    this.#options = options;
    this.#control = control;
    this.failed = control.failed;
  }

  /** Why the group has failed, if it has; `isSaid` if another process tells the user. */
  get failure(): (GroupFailure & { isSaid: boolean }) | undefined {
    return this.#control.failure;
  }

  /** Notes what this process is doing, for the watchdogs of all. */
  note(activity: Activity, step: number): void {
    setMark(this.#control.marks, activity, step);
  }

  /**
   * Waits until all ranks have come to the same point. @returns the values of all, in the order of their ranks
   * @throws the failure of the group
   */
  async exchange<Value>(what: string, value: Value): Promise<Value[]> {
    const name = `${this.#exchanges++} ${what}`;
    const values = this.#control.exchanged(name);
    const { activity, step } = readMarks(this.#control.marks);
    this.note('waits', step);
    this.#control.order({ kind: 'exchange', what: name, value });
    try {
      return (await Promise.race([values, this.failed])) as Value[];
    } finally {
      this.note(activity, step);
    }
  }

  /** Tells rank 0 something or, as rank 0, all others and itself. */
  tell(message: unknown): void {
    this.#control.order({ kind: 'tell', message });
  }

  onTold(listener: (rank: number, message: unknown) => void): void {
    this.#control.listeners.push(listener);
  }

  /** Exchanges the ports of the TensorFlow servers. @param reserve reserves one on an address of this machine */
  async openServers(reserve: (address: string) => number): Promise<ServerPlace> {
    const host = isIPv6(this.address) ? `[${this.address}]` : this.address;
    const addresses = await this.exchange('servers', `${host}:${reserve(this.address)}`);
    this.place = { rank: this.rank, addresses, listensOn: this.address };
    return this.place;
  }

  /** Lets the watchdog count what the TensorFlow servers send. @param kernelsPath of clm's kernels, which are loaded */
  countBytes(kernelsPath: string): void {
    this.#control.order({ kind: 'library', file: kernelsPath });
  }

  /** The result of work that needs all ranks, or the failure of the group. */
  async guarded<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await Promise.race([work, this.failed]);
    } catch (error) {
      if (this.failure !== undefined) throw failureOfKind(this.failure.kind, this.failure.message);
      // TensorFlow notices the end of a process before its connection closes here, but does not say whose.
      const timeout = new Promise((resolve) => setTimeout(resolve, Math.min(5000, this.#options.watchdogMs / 4)));
      await Promise.race([timeout, this.failed]);
      const rank = unreachableRank(error as Error);
      if (rank === undefined) throw error;
      const failure = unreachableFailure(rank, this.identities[rank], readMarks(this.#control.marks).step);
      this.#control.order({ kind: 'fail', failure });
      return this.failed;
    }
  }

  /** Tells the others that this process has failed and why: they end too. */
  fail(message: string, kind: FailureKind): void {
    this.#hasFailed = true;
    this.acknowledgeFailure();
    endAtExit();
    this.#control.order({ kind: 'fail', failure: { message, kind, rank: this.rank } });
  }

  /** The orderly end, when all have come to it. */
  async leave(): Promise<void> {
    if (this.#hasFailed) return;
    this.#control.order({ kind: 'leave' });
    await Promise.race([this.#control.left, this.failed]);
  }

  /** The main thread has seen the failure: it ends the process itself. */
  acknowledgeFailure(): void {
    this.#control.release();
  }
}

/** The thread that is connected to the others, as the main thread sees it. */
class Control {
  readonly marks = newMarks();
  readonly listeners: ((rank: number, message: unknown) => void)[] = [];
  readonly failed: Promise<never>;
  readonly left: Promise<void>;
  readonly met: Promise<{ address: string; ranks: Identity[] }>;
  readonly listening: Promise<number>;
  failure: (GroupFailure & { isSaid: boolean }) | undefined;
  readonly #worker: Worker;
  readonly #exchanges = new Map<string, (values: unknown[]) => void>();

  constructor(options: GroupOptions, onArrived: (rank: number) => void) {
    const file = import.meta.url.endsWith('.ts') ? '../../dist/processes/controlThread.js' : './controlThread.js';
    const workerData: ControlData = { ...options, marks: this.marks };
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData });
    const failed = deferred<never>();
    const left = deferred<void>();
    const met = deferred<{ address: string; ranks: Identity[] }>();
    const listening = deferred<number>();
    [this.failed, this.left, this.met, this.listening] = [failed.promise, left.promise, met.promise, listening.promise];
    for (const promise of [this.failed, this.met, this.listening]) promise.catch(() => {});
    const reject = (kind: FailureKind, message: string, isSaid = false): void => {
      const error = failureOfKind(kind, message);
      error.isSaid = isSaid;
      for (const { reject: rejectOne } of [failed, met, listening]) rejectOne(error);
    };
    this.#worker.on('message', (news: News) => {
      if (news.kind === 'listening') listening.resolve(news.port);
      else if (news.kind === 'arrived') onArrived(news.rank);
      else if (news.kind === 'met') met.resolve(news);
      else if (news.kind === 'refused') reject(news.failureKind, news.message);
      else if (news.kind === 'told') this.listeners.forEach((listener) => listener(news.rank, news.message));
      else if (news.kind === 'exchanged') {
        this.#exchanges.get(news.what)?.(news.values);
        this.#exchanges.delete(news.what);
      } else if (news.kind === 'failed') {
        this.failure ??= { ...news.failure, isSaid: news.isSaid };
        endAtExit();
        reject(news.failure.kind, news.failure.message, news.isSaid);
      } else left.resolve();
    });
    this.#worker.on('error', (error) => {
      for (const { reject: rejectOne } of [failed, met, listening]) rejectOne(error);
    });
  }

  order(order: Order): void {
    this.#worker.postMessage(order);
  }

  /** The main thread sees to the end; in a program that goes on, nothing is kept alive. */
  release(): void {
    markEnding(this.marks);
    this.#worker.unref();
  }

  exchanged(what: string): Promise<unknown[]> {
    return new Promise((resolve) => this.#exchanges.set(what, resolve));
  }
}

function deferred<Value>() {
  let resolve: (value: Value) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<Value>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { promise, resolve, reject };
}

let endsAtExit = false;

/** A step that waits for a process that has gone never ends, and an orderly exit would wait for it. */
function endAtExit(): void {
  if (endsAtExit) return;
  endsAtExit = true;
  process.on('exit', (code) => endProcess(code));
}

/**
 * Meets the other processes. @throws wrongInput if they do not fit together; environmentFailure if one does not come
 * @param onArrived told, as rank 0, of each that has come; as another, once, that it was let in: from then on, these
 *   two watch each other
 * @param onListening told the port, as rank 0: then the others may be started
 */
export async function joinGroup(
  options: GroupOptions,
  onArrived: (rank: number) => void = () => {},
  onListening: (port: number) => void = () => {},
): Promise<ProcessGroup> {
  const control = new Control(options, onArrived);
  try {
    if (options.rank === 0) onListening(await control.listening);
    return new ProcessGroup(options, control, await control.met);
  } catch (error) {
    control.release();
    throw error;
  }
}
