// A disk that remembers when each change became safe, so that it can be looked at as a crash would leave it. What POSIX
// promises and no more: a file's bytes are safe when the file was flushed, a name when its folder was; what is not may
// be there, be there in part or not, each independently of the others, as file systems do (Pillai et al., "All File
// Systems Are Not Created Equal", OSDI 2014).

/**
 * @typedef {{ inode: number, offset: number, bytes: Buffer } | { inode: number, length: number }} Bytes
 * @typedef {{ names: { folder: number, name: string, inode: number | null, onlyIf?: number }[] }} Names
 * @typedef {(Bytes | Names) & { at: number, safeAt: number }} Change `at`, `safeAt`: numbers of calls
 */

/** @param {string} root the folder, which is there from the start and empty */
export function emptyDisk(root) {
  return {
    root,
    calls: 0,
    /** @type {Change[]} */
    changes: [],
    /**
     * As the running process sees it. Folders have entries, files a length. @type {{ entries?: Map<string, number>,
     * length: number }[]}
     */
    inodes: [{ entries: new Map(), length: 0 }],
    /** @type {Map<number, { inode: number, appends: boolean, offset: number }>} */
    open: new Map(),
  };
}

/** @typedef {ReturnType<typeof emptyDisk>} Disk */

/** The folder and the name that a path stands for, and what is there. @param {Disk} disk @param {string} path */
function place(disk, path) {
  const parts = path === disk.root ? [] : path.slice(disk.root.length + 1).split('/');
  const name = parts.pop() ?? '';
  let folder = 0;
  for (const part of parts) folder = disk.inodes[folder].entries?.get(part) ?? NaN;
  const inode = name === '' ? 0 : disk.inodes[folder]?.entries?.get(name);
  return { folder, name, inode };
}

/** Applies one call. @param {Disk} disk @param {import('./systemCalls.mjs').FileCall} call */
export function apply(disk, call) {
  const at = ++disk.calls;
  const change = (/** @type {Bytes | Names} */ what) => {
    disk.changes.push({ ...what, at, safeAt: Infinity });
    if (!('names' in what)) return;
    for (const { folder, name, inode } of what.names) {
      const entries = /** @type {Map<string, number>} */ (disk.inodes[folder].entries);
      if (inode === null) entries.delete(name);
      else entries.set(name, inode);
    }
  };
  const made = (/** @type {string} */ path, /** @type {boolean} */ isFolder) => {
    const { folder, name } = place(disk, path);
    const inode = disk.inodes.push({ ...(isFolder && { entries: new Map() }), length: 0 }) - 1;
    change({ names: [{ folder, name, inode }] });
    return inode;
  };
  if (call.call === 'make') made(call.path, call.isFolder);
  else if (call.call === 'open') {
    const inode = place(disk, call.path).inode ?? made(call.path, false);
    disk.open.set(call.file, { inode, appends: call.appends, offset: 0 });
  } else if (call.call === 'close') disk.open.delete(call.file);
  else if (call.call === 'cut') {
    const inode = /** @type {number} */ (place(disk, call.path).inode);
    if (disk.inodes[inode].length > call.length) change({ inode, length: call.length });
    disk.inodes[inode].length = call.length;
  } else if (call.call === 'write') {
    const file = /** @type {{ inode: number, appends: boolean, offset: number }} */ (disk.open.get(call.file));
    const offset = file.appends ? disk.inodes[file.inode].length : (call.offset ?? file.offset);
    change({ inode: file.inode, offset, bytes: call.bytes });
    if (call.offset === null) file.offset = offset + call.bytes.length;
    disk.inodes[file.inode].length = Math.max(disk.inodes[file.inode].length, offset + call.bytes.length);
  } else if (call.call === 'flush') {
    const inode = disk.open.get(call.file)?.inode;
    for (const known of disk.changes) {
      const isOfIt = 'names' in known ? known.names.some(({ folder }) => folder === inode) : known.inode === inode;
      if (isOfIt) known.safeAt = Math.min(known.safeAt, at);
    }
  } else if (call.call === 'delete') {
    const { folder, name } = place(disk, call.path);
    change({ names: [{ folder, name, inode: null }] });
  } else {
    const from = place(disk, call.from);
    const to = place(disk, call.to);
    const inode = /** @type {number} */ (from.inode);
    const gained = { folder: to.folder, name: to.name, inode };
    change({ names: call.call === 'link' ? [gained] : [{ ...from, inode: null, onlyIf: inode }, gained] });
  }
}

/**
 * What a crash after the first `calls` calls leaves, path by path below the root; folders have no bytes.
 * @param {Disk} disk @param {number} calls
 * @param {(change: Change) => number} share how much of a change that was not safe yet survives: 0 to 1; names all or
 *   nothing
 * @returns {Map<string, Buffer | null>}
 */
export function afterCrash(disk, calls, share) {
  /** @type {Map<number, Buffer>} */
  const contents = new Map();
  /** @type {Map<number, Map<string, number>>} */
  const folders = new Map();
  for (const change of disk.changes) {
    if (change.at > calls) break;
    const survives = change.safeAt <= calls ? 1 : share(change);
    if ('names' in change) {
      if (survives < 0.5) continue;
      for (const { folder, name, inode, onlyIf } of change.names) {
        const entries = folders.get(folder) ?? new Map();
        folders.set(folder, entries);
        if (inode !== null) entries.set(name, inode);
        else if (onlyIf === undefined || entries.get(name) === onlyIf) entries.delete(name);
      }
      continue;
    }
    const before = contents.get(change.inode) ?? Buffer.alloc(0);
    if ('length' in change) {
      if (survives >= 0.5) contents.set(change.inode, before.subarray(0, change.length));
      continue;
    }
    const bytes = change.bytes.subarray(0, Math.floor(survives * change.bytes.length));
    if (bytes.length === 0) continue;
    const after = Buffer.alloc(Math.max(before.length, change.offset + bytes.length));
    before.copy(after);
    bytes.copy(after, change.offset);
    contents.set(change.inode, after);
  }
  /** @type {Map<string, Buffer | null>} */
  const tree = new Map();
  const walk = (/** @type {number} */ folder, /** @type {string} */ path) => {
    for (const [name, inode] of folders.get(folder) ?? []) {
      const isFolder = disk.inodes[inode].entries !== undefined;
      tree.set(`${path}${name}`, isFolder ? null : (contents.get(inode) ?? Buffer.alloc(0)));
      if (isFolder) walk(inode, `${path}${name}/`);
    }
  };
  walk(0, '');
  return tree;
}
