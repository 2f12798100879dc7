"""Row S8: what the pages on VPoser tell to type exists."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_vposer_s08_documented_commands():
    """README instructions wrong -> documented commands are executed in the test suite on a synthetic tree.

    The guide's are run by test_vposer_18; of every other page the scripts, configs and links must exist.
    """
    pages = [REPOSITORY / 'README.md', *sorted((REPOSITORY / 'docs/en').glob('*.md'))]
    missing = []
    for page in pages:
        text = page.read_text()
        named = re.findall(r'(?:python|bash) (tools/[\w/]+\.(?:py|sh))', text)
        named += re.findall(r'(?<![\w/])(configs/[\w/.-]+\.py)', text)
        missing += [f'{page.name}: {name}' for name in named if not (REPOSITORY / name).is_file()]
        for link in re.findall(r'\]\((?!http)([^)#]+)(?:#[^)]*)?\)', text):
            if not (page.parent / link).exists():
                missing.append(f'{page.name}: {link}')
    assert not missing
