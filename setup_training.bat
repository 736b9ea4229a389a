@echo off
rem Prepare this machine for training: a virtual environment, torch for this driver, the pinned libraries, ten real steps.
rem Set PYTHON to choose another Python, TORCH_PIP_ARGS to choose another build of torch, UNSLOTH=1 to add the Unsloth
rem backend, SMOKE=0 to leave out the ten steps.
setlocal
cd /d "%~dp0"
if not defined PYTHON set PYTHON=python

%PYTHON% -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>nul
if errorlevel 1 (
  echo Casiopy needs Python 3.11 or newer; '%PYTHON%' is older or missing. Try: set PYTHON=py -3.11 1>&2
  exit /b 1
)
set CHOICE=%TEMP%\casiopy-torch-%RANDOM%.txt
if not defined TORCH_PIP_ARGS (
  %PYTHON% training\src\persona_training\torch_choice.py . > "%CHOICE%" || exit /b 1
  set /p TORCH_PIP_ARGS= < "%CHOICE%"
  del "%CHOICE%"
)
if not exist .venv\Scripts\python.exe (
  echo Making .venv ...
  %PYTHON% -m venv .venv || exit /b 1
)
set PIP=.venv\Scripts\python.exe -m pip install --disable-pip-version-check --quiet

echo Installing torch (the large part) ...
%PIP% %TORCH_PIP_ARGS% torch==2.13.0 || exit /b 1
echo Installing the training package ...
%PIP% -c constraints.txt -e . -e "training[tensorboard]" || exit /b 1
if "%UNSLOTH%"=="1" %PIP% --no-deps -r training\requirements-unsloth.txt || exit /b 1
set SMOKE_FLAG=--smoke
if "%SMOKE%"=="0" set SMOKE_FLAG=
.venv\Scripts\python.exe -m persona_training doctor %SMOKE_FLAG%
exit /b %errorlevel%
