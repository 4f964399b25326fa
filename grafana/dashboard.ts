/** A dashboard from rows of panels: names, numbers and the settings that all three share. */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  DashboardBuilder, DashboardCursorSync, DashboardLinkBuilder, DashboardLinkType, RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type {
  AnnotationQuery, Dashboard, Panel, VariableModel,
} from '@grafana/grafana-foundation-sdk/dashboard';

export interface Row {
  readonly title: string;
  readonly panels: readonly Builder<Panel>[];
}

export interface DashboardSpec {
  /** Part of its address; never changed once it is published. */
  readonly uid: string;
  readonly title: string;
  readonly tells: string;
  readonly variables: readonly Builder<VariableModel>[];
  readonly annotations?: readonly Builder<AnnotationQuery>[];
  readonly rows: readonly Row[];
}

/** Addresses of the dashboards, for links and alerts. */
export const UIDS = {
  hotPath: 'wardian-hot-path', tenant: 'wardian-tenant', operations: 'wardian-operations',
} as const;

const TAG = 'wardian';

function numbered(panel: Builder<Panel>, id: number): Builder<Panel> {
  const built = { ...panel.build(), id };
  return { build: () => built };
}

export function dashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.tells)
    .tags([TAG])
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(new DashboardLinkBuilder('Wardian').type(DashboardLinkType.Dashboards).tags([TAG])
      .asDropdown(false).includeVars(true).keepTime(true))
    .variables([...spec.variables])
    .annotations([...(spec.annotations ?? [])]);
  let id = 0;
  for (const { title, panels } of spec.rows) {
    id += 1;
    builder.withRow(new RowBuilder(title).id(id));
    for (const panel of panels) {
      id += 1;
      builder.withPanel(numbered(panel, id));
    }
  }
  return builder.build();
}
