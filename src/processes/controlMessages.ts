/** What a process of a group and its controlling thread tell each other, and what such threads tell each other. */
import type { FailureKind } from '../errors.ts';
import type { GroupFailure } from './failure.ts';
import type { Identity } from './identity.ts';
import type { Marks } from './marks.ts';
import type { MeetingPlace } from './meeting.ts';
import type { Beat } from './watch.ts';

export interface ControlData extends MeetingPlace {
  watchdogMs: number;
  marks: Marks;
}

/** From the main thread. `exchange`: values for all; `tell`: to rank 0, or from rank 0 to all. */
export type Order =
  | { kind: 'exchange'; what: string; value: unknown }
  | { kind: 'tell'; message: unknown }
  | { kind: 'fail'; failure: GroupFailure }
  | { kind: 'library'; file: string }
  | { kind: 'leave' };

/** To the main thread. `arrived`: rank 0 has let a rank in, this one unless this is rank 0. */
export type News =
  | { kind: 'listening'; port: number }
  | { kind: 'arrived'; rank: number }
  | { kind: 'met'; address: string; ranks: Identity[] }
  | { kind: 'refused'; message: string; failureKind: FailureKind }
  | { kind: 'exchanged'; what: string; values: unknown[] }
  | { kind: 'told'; rank: number; message: unknown }
  | { kind: 'failed'; failure: GroupFailure; isSaid: boolean }
  | { kind: 'left' };

/** Between the threads of two processes. `met` and `exchanged` come from rank 0. */
export type Frame =
  | { kind: 'met'; ranks: Identity[] }
  | { kind: 'beat'; beat: Beat }
  | { kind: 'exchange'; what: string; value: unknown }
  | { kind: 'exchanged'; what: string; values: unknown[] }
  | { kind: 'tell'; message: unknown }
  | { kind: 'failed'; failure: GroupFailure }
  | { kind: 'leave' };
