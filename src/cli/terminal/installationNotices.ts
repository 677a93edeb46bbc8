/** Shows on stderr what loading TensorFlow has to say: warnings, and the progress of its first unpacking. */
import { notices } from '../../runtime/installation/notices.ts';
import { canRedraw } from './abilities.ts';
import { clearLive, showLive } from './liveLine.ts';
import { note, printWarning } from './output.ts';

export function showInstallationNotices(isQuiet: boolean): void {
  notices.warn = printWarning;
  if (isQuiet) return;
  notices.unpacking = (folder, bytes, share) => {
    if (share === 0) note(`unpacking libtensorflow, once, into ${folder} (${Math.ceil(bytes / 1e6)} MB)`);
    if (!canRedraw(process.stderr)) return;
    if (share < 1) showLive(`unpacking … ${Math.floor(share * 100)} %`);
    else clearLive();
  };
}
