/**
 * Which apps have series of their own: the N with the most traffic. All others are counted in one
 * row, `_other`.
 *
 *   seen ──a row is free──▶ own ──overtaken──▶ folded ──overtakes──▶ own
 *      └──none is free────▶ folded
 *                           own, folded ──removed──▶ folded, its row free for another
 *
 * An app is seen when it is deployed, so that its counters are there, at 0, before the first
 * request. Every series only ever grows: what an app did while folded stays in `_other`, and its
 * own series go on from where they were when it is given a row again.
 */

import { OTHER } from '../metrics.ts';
import { APP_WIDTH, offsetOf } from './layout.ts';
import type { MetricMemory } from './layout.ts';
import { VersionSlots } from './version-slots.ts';

/** What the table needs to know of an app. */
export interface AppRoute {
  readonly tenantName: string;
  readonly appId: number;
  readonly label: string;
  readonly versionNumber?: number;
}

/** An app as it is deployed. */
export interface DeployedApp extends AppRoute {
  readonly versionNumber: number;
  readonly split?: readonly { readonly versionNumber: number }[];
}

export interface AppEntry {
  readonly tenant: string;
  readonly app: string;
  /** Where its row begins; 0 is `_other`. */
  at: number;
  /** Requests since the last ranking, and a mean of the rankings before. */
  recent: number;
  traffic: number;
  /** The version it serves. */
  version: number;
  /** Its row and its versions as they were when it was folded. */
  saved: { readonly row: Float64Array; readonly versions: Float64Array } | null;
  /** The id under which it was removed; ids rise, so a later one is another deploy. */
  removedId: number;
}

/** Names of the rows, in order; a type and no interface, so that it is a record of labels. */
export type RowName = { readonly tenant: string; readonly app: string };
export type RowNames = readonly RowName[];

/** How much of the mean each ranking keeps: a quiet app loses its row within minutes. */
const KEPT = 0.8;
/** A folded app takes a row only from one with less than half of its traffic. */
const LEAD = 2;
/** Apps that are remembered, and of these folded ones whose series are. */
const ENTRIES_MAX = 100_000;
const SAVED_MAX = 10_000;

const MEMORY_PEAK = offsetOf('wardian_app_memory_peak_bytes');
const MEMORY_LIMIT = offsetOf('wardian_app_memory_limit_bytes');
const VERSION = offsetOf('wardian_app_version');
const GAUGES = [MEMORY_PEAK, MEMORY_LIMIT, VERSION];

const keyOf = ({ tenantName, label }: AppRoute): string => `${tenantName}\n${label}`;

export class AppTable {
  readonly #rows: Float64Array;
  readonly #rowsMax: number;
  readonly #byKey = new Map<string, AppEntry>();
  readonly #byId = new Map<number, AppEntry>();
  readonly #owners: AppEntry[] = [];
  readonly #onHandedOver: (row: number) => void;
  /** The counts of versions, in rows as those of the apps. */
  readonly versions: VersionSlots;
  #names: RowNames | null = null;
  #foldings = 0;

  /** Told when a row becomes another app's, or nobody's. */
  constructor(memory: MetricMemory, onHandedOver: (row: number) => void) {
    this.#rows = memory.apps;
    this.#rowsMax = memory.apps.length / APP_WIDTH - 1;
    this.versions = new VersionSlots(memory);
    this.#onHandedOver = onHandedOver;
  }

  /** The entry of an app; made when it is seen for the first time. */
  find(route: AppRoute): AppEntry {
    return this.#byId.get(route.appId) ?? this.#meet(route);
  }

  /** An app was deployed, or another version of it. Its series are there from now on. */
  deployed(route: DeployedApp): void {
    const known = this.#byKey.get(keyOf(route));
    if (known !== undefined) known.removedId = 0;
    const entry = this.find(route);
    entry.version = route.versionNumber;
    if (entry.at === 0) return;
    this.#rows[entry.at + VERSION] = entry.version;
    for (const { versionNumber } of route.split ?? [route]) {
      this.versions.find(entry.at / APP_WIDTH, versionNumber);
    }
  }

  /** An app was removed: its row is given back at the next ranking. */
  removed(appId: number): void {
    const entry = this.#byId.get(appId);
    if (entry === undefined) return;
    this.#byId.delete(appId);
    entry.removedId = appId;
    entry.traffic = 0;
    entry.recent = 0;
  }

  /** Apps that were folded to make room, ever. */
  get foldings(): number {
    return this.#foldings;
  }

  get owning(): number {
    return this.#owners.length;
  }

  get folded(): number {
    return this.#byKey.size - this.#owners.length;
  }

  entries(): IterableIterator<AppEntry> {
    return this.#byKey.values();
  }

  /** The same array for as long as no row changes hands. */
  names(): RowNames {
    this.#names ??= [
      { tenant: OTHER, app: OTHER }, ...this.#owners.map(({ tenant, app }) => ({ tenant, app })),
    ];
    return this.#names;
  }

  #meet(route: AppRoute): AppEntry {
    const { tenantName, appId, label, versionNumber = 0 } = route;
    const key = keyOf(route);
    let entry = this.#byKey.get(key);
    if (entry === undefined) {
      if (this.#byKey.size >= ENTRIES_MAX) this.#forgetQuiet();
      entry = {
        tenant: tenantName, app: label, at: 0, recent: 0, traffic: 0, version: versionNumber,
        saved: null, removedId: 0,
      };
      this.#byKey.set(key, entry);
    }
    // A last answer of an app that is gone does not bring it back.
    if (appId <= entry.removedId) return entry;
    entry.removedId = 0;
    this.#byId.set(appId, entry);
    if (entry.at === 0 && this.#owners.length < this.#rowsMax) this.#own(entry);
    return entry;
  }

  /** A row is free. */
  #own(entry: AppEntry): void {
    this.#owners.push(entry);
    this.#names = null;
    this.#giveRow(entry, this.#owners.length * APP_WIDTH);
  }

  /** Gives rows to the apps with the most traffic. Not while rows are read by their names. */
  rank(): void {
    this.#freeRemoved();
    for (const entry of this.#byKey.values()) {
      entry.traffic = entry.traffic * KEPT + entry.recent;
      entry.recent = 0;
    }
    const folded = [...this.#byKey.values()].filter(({ at, traffic, removedId }) =>
      at === 0 && traffic > 0 && removedId === 0);
    if (folded.length === 0) return;
    folded.sort((a, b) => b.traffic - a.traffic);
    for (const entry of folded.splice(0, this.#rowsMax - this.#owners.length)) this.#own(entry);
    const weakest = this.#owners.toSorted((a, b) => a.traffic - b.traffic);
    for (const [index, entry] of folded.entries()) {
      const owner = weakest[index];
      if (owner === undefined || entry.traffic <= owner.traffic * LEAD) break;
      this.#swap(owner, entry);
    }
    this.#boundSaved();
  }

  #swap(owner: AppEntry, entry: AppEntry): void {
    const { at } = owner;
    this.#takeRow(owner);
    this.#giveRow(entry, at);
    this.#owners[at / APP_WIDTH - 1] = entry;
    this.#names = null;
    this.#foldings += 1;
  }

  #takeRow(owner: AppEntry): void {
    const { at } = owner;
    const row = this.#rows.slice(at, at + APP_WIDTH);
    for (const gauge of GAUGES) row[gauge] = 0;
    owner.saved = { row, versions: this.versions.take(at / APP_WIDTH) };
    owner.at = 0;
    this.#rows.fill(0, at, at + APP_WIDTH);
    this.#onHandedOver(at / APP_WIDTH);
  }

  #giveRow(entry: AppEntry, at: number): void {
    if (entry.saved !== null) {
      this.#rows.set(entry.saved.row, at);
      this.versions.give(at / APP_WIDTH, entry.saved.versions);
      entry.saved = null;
    }
    this.#rows[at + VERSION] = entry.version;
    entry.at = at;
  }

  /** Rows of removed apps become free: the last row moves into the gap. */
  #freeRemoved(): void {
    for (let index = this.#owners.length - 1; index >= 0; index -= 1) {
      const entry = this.#owners[index] as AppEntry;
      if (entry.removedId === 0) continue;
      const { at } = entry;
      this.#takeRow(entry);
      const last = this.#owners.pop() as AppEntry;
      this.#names = null;
      if (last === entry) continue;
      this.#takeRow(last);
      this.#giveRow(last, at);
      this.#owners[index] = last;
    }
  }

  #boundSaved(): void {
    const saved = [...this.#byKey.values()].filter((entry) => entry.saved !== null);
    if (saved.length <= SAVED_MAX) return;
    saved.sort((a, b) => a.traffic - b.traffic);
    for (const entry of saved.slice(0, saved.length - SAVED_MAX)) entry.saved = null;
  }

  /** Forgets the quieter half of the folded apps: among 100,000 names most are never back. */
  #forgetQuiet(): void {
    const folded = [...this.#byKey].filter(([, entry]) => entry.at === 0);
    folded.sort(([, a], [, b]) => a.traffic + a.recent - b.traffic - b.recent);
    const gone = new Set<AppEntry>();
    for (const [key, entry] of folded.slice(0, Math.ceil(folded.length / 2))) {
      this.#byKey.delete(key);
      gone.add(entry);
    }
    for (const [appId, entry] of this.#byId) if (gone.has(entry)) this.#byId.delete(appId);
  }
}
