<?php
// What PDO and Laravel's database library do with each error. README.md here has the contract.

require 'Illuminate/Database/autoload.php';

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Connection;

$request = json_decode(stream_get_contents(STDIN), true);

/** One case for one helper: counts how often it is done. */
class Job
{
    public int $runs = 0;
    public bool $transaction;
    private string $marker;
    private array $before;

    public function __construct(string $helper, array $case)
    {
        $this->marker = "retries/{$case['case']}/$helper/";
        $this->transaction = $case['transaction'];
        $this->before = str_replace('{marker}', $this->marker, $case['before']);
    }

    public function do(callable $read, callable $write): void
    {
        $this->runs++;
        array_map($read, $this->before);
        $write("INSERT INTO work (marker) VALUES ('{$this->marker}')");
    }
}

function pdo(array $request): PDO
{
    $dsn = "mysql:host={$request['host']};port={$request['port']};dbname={$request['database']}";
    return new PDO($dsn, $request['user'], '', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function plain(array $request, Job $job): void
{
    $pdo = pdo($request);
    if ($job->transaction) {
        $pdo->beginTransaction();
    }
    $job->do(fn ($sql) => $pdo->query($sql)->fetchAll(), fn ($sql) => $pdo->exec($sql));
    if ($job->transaction) {
        $pdo->commit();
    }
}

function laravel(array $request, Job $job, int $attempts): void
{
    $manager = new Manager();
    $manager->addConnection([
        'driver' => 'mysql', 'host' => $request['host'], 'port' => $request['port'],
        'database' => $request['database'], 'username' => $request['user'], 'password' => '',
        'charset' => 'utf8mb4', 'collation' => 'utf8mb4_unicode_ci', 'prefix' => '',
        // As text, so that the faults see the marker in what is read.
        'options' => [PDO::ATTR_EMULATE_PREPARES => true],
    ]);
    $connection = $manager->getConnection();
    $work = fn () => $job->do(fn ($sql) => $connection->select($sql), fn ($sql) => $connection->unprepared($sql));
    if ($job->transaction) {
        $connection->transaction($work, $attempts);
    } else {
        $work();
    }
}

/** The version in the name of the distribution's package is Laravel's; the library itself does not know it. */
function laravelVersion(): string
{
    return method_exists(Connection::class, 'totalQueryDuration') ? '9+' : '8';
}

$helpers = [
    ['pdo', PHP_VERSION, 'none', fn ($job) => plain($request, $job)],
    ['laravel', laravelVersion(), 'none', fn ($job) => laravel($request, $job, 1)],
    ['laravel.attempts', laravelVersion(), 'transactions', fn ($job) => laravel($request, $job, 3)],
];

foreach ($helpers as [$helper, $version, $retries, $work]) {
    $chosen = array_filter($request['helpers'], fn ($name) => str_starts_with($helper, $name));
    if ($request['helpers'] && ! $chosen) {
        continue;
    }
    foreach ($request['cases'] as $case) {
        $job = new Job($helper, $case);
        $told = null;
        try {
            $work($job);
        } catch (Throwable $error) {
            $code = $error instanceof PDOException ? ($error->errorInfo[1] ?? null) : null;
            $told = ['code' => $code, 'class' => (new ReflectionClass($error))->getShortName(), 'message' => $error->getMessage()];
        }
        $line = ['helper' => $helper, 'version' => $version, 'case' => $case['case'], 'retries' => $retries];
        echo json_encode($line + ['runs' => $job->runs, 'error' => $told]), "\n";
    }
}
