import js from '@eslint/js'
import ts from 'typescript-eslint'

// What a machine sees better than a reader; layout is Prettier's.
export default ts.config(
  { ignores: ['dist', 'node_modules', 'coverage'] },
  js.configs.recommended,
  ...ts.configs.strict,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    files: ['src/**/*.ts', 'test/**/*.ts', 'vitest.config.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-shadow': 'error',
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      'no-shadow': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/config.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ThrowStatement > NewExpression[callee.name="Error"]', message: 'Throw a PostboxError.' },
        {
          selector: 'MemberExpression[object.name="process"][property.name="env"]',
          message: 'Only src/config.ts reads process.env.',
        },
      ],
    },
  },
  { files: ['*.js', 'docker/health/*.js'], languageOptions: { globals: { process: 'readonly', URL: 'readonly' } } },
)
