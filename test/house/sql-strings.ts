import ts from 'typescript'
import type { SourceFile } from './source-files.js'

const BACKUP = /(?<![\w.])"?backup"?\."?_?[a-z]/
const STATEMENT = /^\s*(select|call|insert|update|delete|merge|with|table|lock|truncate|copy|do|perform)\b/i
const RUNS_SQL = /query|execute|^(any|many|maybe\w*|one\w*|exists|copy\w*|stream|transaction)$/i

/**
 * Strings that use schema `backup` as SQL, one line each: those handed to something that runs SQL, tagged `sql`, or
 * beginning as a statement does. Advice to the operator, in an error or a help text, is none.
 */
export function backupSql({ path, text }: SourceFile): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const content = contentOf(node)
    if (content !== null && BACKUP.test(content) && usedAsSql(node, content)) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart())
      found.push(`${path}:${line + 1}: ${content.trim().replace(/\s+/g, ' ').slice(0, 100)}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

// A string's text; of a template what stands between the expressions. Null for anything else.
function contentOf(node: ts.Node): string | null {
  if (ts.isStringLiteralLike(node)) return node.text
  if (!ts.isTemplateExpression(node)) return null
  return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join('…')
}

function usedAsSql(text: ts.Node, content: string): boolean {
  for (let node = text.parent; node && !ts.isStatement(node); node = node.parent) {
    if (ts.isNewExpression(node) && node.expression.getText() === 'PostboxError') return false
    if (ts.isTaggedTemplateExpression(node) && /\bsql\b/i.test(node.tag.getText())) return true
    if (ts.isCallExpression(node) && RUNS_SQL.test(calleeName(node.expression))) return true
  }
  return STATEMENT.test(content)
}

function calleeName(callee: ts.Expression): string {
  return ts.isPropertyAccessExpression(callee) ? callee.name.text : callee.getText()
}
