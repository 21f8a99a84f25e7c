import type { StatusReport } from './status-report.js'
export function fleetPage(report: StatusReport): string {
  return JSON.stringify(report)
}
