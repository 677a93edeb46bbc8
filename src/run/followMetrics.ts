/** Following a `metrics.jsonl` that is being written: each look gives the records that came since the last one. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { recordsIn, type MetricsRecord } from './metricsReading.ts';

interface FollowedMetrics {
  /**
   * The complete records that are new. `restarted` where the file was replaced or became shorter, as resuming does:
   * then the records are all there are, and earlier ones no longer hold.
   */
  read(): { records: MetricsRecord[]; restarted: boolean };
}

/** A file that does not exist yet has no records yet. */
export function followMetrics(path: string): FollowedMetrics {
  let position = 0;
  let inode: number | undefined;
  return {
    read: () => {
      let file: number;
      try {
        file = openSync(path, 'r');
      } catch {
        return { records: [], restarted: false };
      }
      try {
        const { size, ino } = fstatSync(file);
        const restarted = inode !== undefined && (ino !== inode || size < position);
        if (restarted) position = 0;
        inode = ino;
        const bytes = Buffer.alloc(size - position);
        const read = readSync(file, bytes, 0, bytes.length, position);
        const complete = bytes.subarray(0, bytes.subarray(0, read).lastIndexOf(0x0a) + 1);
        position += complete.length;
        return { records: recordsIn(complete), restarted };
      } finally {
        closeSync(file);
      }
    },
  };
}
