/** Whether a statement of pg_dump fills a materialized view, which is contents and no definition. */
export const isRefresh = (sql: string): boolean => /^refresh materialized view /i.test(sql)
