import ts from 'typescript'
import { errorCodes, type ErrorCode } from '../../src/errors.js'

/** One place in the sources where an error gets its words. */
export interface Raised {
  code: ErrorCode
  /** as templates, `…` for what is known only later; more than one where the code chooses */
  messages: string[]
  hints: string[]
  path: string
}

const UNKNOWN = '…'
const codes = new Set<string>(errorCodes)

/** Every place in a file of TypeScript that names a code together with a message or a hint. */
export function raisedErrors({ path, text }: { path: string; text: string }): Raised[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const found: Raised[] = []
  const add = ([code, message, hint]: readonly (ts.Expression | undefined)[], given: Given): void => {
    const told = (one: ts.Expression | undefined) => (one ? words(one, file, given) : [UNKNOWN])
    for (const name of told(code).filter((one) => codes.has(one))) {
      found.push({ code: name as ErrorCode, messages: told(message), hints: told(hint), path })
    }
  }
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && node.expression.getText() === 'PostboxError') {
      for (const given of givenByCallers(node, file)) add(node.arguments ?? [], given)
    } else if (ts.isObjectLiteralExpression(node)) {
      const [code, message, hint] = ['code', 'message', 'hint'].map((name) => property(node, name))
      if (code && hint && namesCode(code)) add([code, message, hint], new Map())
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** What the parameters of a function stand for in one call of it. */
type Given = ReadonlyMap<string, ts.Expression>

/** For an error that a function of the same file makes of its parameters: what each caller passes. */
function givenByCallers(made: ts.NewExpression, file: ts.SourceFile): Given[] {
  const maker = ts.findAncestor(made, (node) => ts.isFunctionLike(node)) as ts.SignatureDeclaration | undefined
  const name = maker?.name ?? (maker && ts.isVariableDeclaration(maker.parent) ? maker.parent.name : undefined)
  const parameters = maker?.parameters.map((one) => one.name.getText()) ?? []
  const text = (made.arguments ?? []).map((one) => one.getText()).join(' ')
  const passed = parameters.filter((one) => new RegExp(`\\b${one}\\b`).test(text))
  if (!name || passed.length === 0) return [new Map()]
  const calls: Given[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === name.getText()) {
      const pairs = parameters.map((one, index) => [one, node.arguments[index]] as const)
      calls.push(new Map(pairs.filter((pair): pair is [string, ts.Expression] => pair[1] !== undefined)))
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return calls.length === 0 ? [new Map()] : calls
}

const namesCode = (node: ts.Expression | undefined): boolean =>
  node !== undefined && ts.isStringLiteral(node) && codes.has(node.text)

function property(node: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  const one = node.properties.find((each) => each.name?.getText() === name)
  return one && ts.isPropertyAssignment(one) ? one.initializer : undefined
}

/** What an expression may come to, as templates. */
function words(node: ts.Expression, file: ts.SourceFile, given: Given, depth = 0): string[] {
  const inner = (one: ts.Expression) => (depth > 6 ? [UNKNOWN] : words(one, file, given, depth + 1))
  if (ts.isStringLiteralLike(node)) return [node.text]
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return inner(node.expression)
  if (ts.isTemplateExpression(node)) {
    // Only what a caller passes is put in: the rest is of the moment.
    const filled = (one: ts.Expression) => (ts.isIdentifier(one) && given.has(one.text) ? inner(one) : [UNKNOWN])
    const pieces = node.templateSpans.map(({ expression, literal }) =>
      filled(expression).map((one) => one + literal.text),
    )
    return pieces.reduce((all, next) => all.flatMap((one) => next.map((more) => one + more)), [node.head.text])
  }
  if (ts.isConditionalExpression(node)) return [...inner(node.whenTrue), ...inner(node.whenFalse)]
  if (ts.isBinaryExpression(node)) {
    const [left, right] = [inner(node.left), inner(node.right)]
    if (node.operatorToken.kind === ts.SyntaxKind.PlusToken) return left.flatMap((a) => right.map((b) => a + b))
    return [...left, ...right].filter((one) => one !== UNKNOWN)
  }
  if (ts.isIdentifier(node)) {
    const passed = given.get(node.text)
    // What a caller passes is read in the caller's place.
    if (passed) return depth > 6 ? [UNKNOWN] : words(passed, file, new Map(), depth + 1)
    const known = constant(node, file)
    return known ? inner(known) : [UNKNOWN]
  }
  return [UNKNOWN]
}

/** The value of a constant: of its own function, else of the file. */
function constant({ text, pos }: ts.Identifier, file: ts.SourceFile): ts.Expression | undefined {
  const found: ts.VariableDeclaration[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText() === text && node.initializer) found.push(node)
    ts.forEachChild(node, visit)
  }
  visit(file)
  const seen = (one: ts.VariableDeclaration) => {
    const scope = ts.findAncestor(one, (node) => ts.isBlock(node) || ts.isSourceFile(node))!
    return scope.pos <= pos && pos <= scope.end
  }
  return found.filter(seen).at(-1)?.initializer
}
