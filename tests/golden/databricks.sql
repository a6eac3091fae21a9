SELECT
  `t1`.`time`,
  COUNT(*) AS `n`,
  SUM(`t1`.`s0`) AS `s0`,
  SUM(`t1`.`s1`) AS `s1`,
  SUM(`t1`.`s3`) AS `s3`
FROM (
  SELECT
    DATE_TRUNC('minute', `t0`.`served_at`) AS `time`,
    IF(
      `t0`.`age` IS NULL
      OR ISNAN(`t0`.`age`)
      OR ISNAN(`t0`.`age`)
      OR (
        FALSE OR FALSE
      ),
      0.0,
      IF(`t0`.`age` > 1e+290, 1e+290, IF(`t0`.`age` < -1E+290, -1E+290, `t0`.`age`))
    ) AS `s0`,
    CAST(`t0`.`rooms` AS DOUBLE) AS `s1`,
    IF(
      CAST(`t0`.`score` AS DOUBLE) IS NULL
      OR ISNAN(CAST(`t0`.`score` AS DOUBLE))
      OR ISNAN(CAST(`t0`.`score` AS DOUBLE))
      OR (
        FALSE OR FALSE
      ),
      0.0,
      IF(
        CAST(`t0`.`score` AS DOUBLE) > 1e+290,
        1e+290,
        IF(CAST(`t0`.`score` AS DOUBLE) < -1E+290, -1E+290, CAST(`t0`.`score` AS DOUBLE))
      )
    ) AS `s3`
  FROM `predictions` AS `t0`
  WHERE
    `t0`.`served_at` >= CAST('2027-01-15T08:00:00' AS TIMESTAMP)
    AND `t0`.`served_at` < CAST('2027-01-15T08:01:00' AS TIMESTAMP)
) AS `t1`
GROUP BY
  1;

SELECT
  `t2`.`time`,
  `t2`.`bin`,
  COUNT(*) AS `n`
FROM (
  SELECT
    DATE_TRUNC('minute', `t1`.`served_at`) AS `time`,
    EXPLODE(
      ARRAY(
        CASE
          WHEN `t1`.`age` IS NULL OR ISNAN(`t1`.`age`) OR ISNAN(`t1`.`age`)
          THEN 3
          WHEN FALSE OR FALSE
          THEN 4
          ELSE IF(
            `t1`.`age` <= CAST('0.1' AS DOUBLE),
            0,
            IF(`t1`.`age` <= CAST('30.0' AS DOUBLE), 1, 2)
          )
        END,
        IF(
          CAST(`t1`.`rooms` AS DOUBLE) IS NULL OR ISNAN(CAST(`t1`.`rooms` AS DOUBLE)),
          9,
          IF(
            CAST(`t1`.`rooms` AS DOUBLE) <= CAST('2.5' AS DOUBLE),
            IF(CAST(`t1`.`rooms` AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
            IF(CAST(`t1`.`rooms` AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
          )
        ),
        CASE
          WHEN `t1`.`colour` IS NULL
          THEN 14
          WHEN `t1`.`colour` = '__missing__'
          THEN 14
          WHEN `t1`.`colour` = 'blue'
          THEN 11
          WHEN `t1`.`colour` = 'it\'s'
          THEN 12
          ELSE 13
        END,
        CASE
          WHEN CAST(`t1`.`score` AS DOUBLE) IS NULL
          OR ISNAN(CAST(`t1`.`score` AS DOUBLE))
          OR ISNAN(CAST(`t1`.`score` AS DOUBLE))
          THEN 17
          WHEN FALSE OR FALSE
          THEN 18
          ELSE IF(CAST(`t1`.`score` AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
        END
      )
    ) AS `bin`
  FROM (
    SELECT
      *
    FROM `predictions` AS `t0`
    WHERE
      `t0`.`served_at` >= CAST('2027-01-15T08:00:00' AS TIMESTAMP)
      AND `t0`.`served_at` < CAST('2027-01-15T08:01:00' AS TIMESTAMP)
  ) AS `t1`
) AS `t2`
GROUP BY
  1,
  2;

SELECT
  *
FROM (
  SELECT
    `t3`.`value`,
    COUNT(*) AS `n`
  FROM (
    SELECT
      *
    FROM (
      SELECT
        DATE_TRUNC('minute', `t1`.`served_at`) AS `time`,
        EXPLODE(
          ARRAY(
            IF(
              CASE
                WHEN `t1`.`colour` IS NULL
                THEN 3
                WHEN `t1`.`colour` = '__missing__'
                THEN 3
                WHEN `t1`.`colour` = 'blue'
                THEN 0
                WHEN `t1`.`colour` = 'it\'s'
                THEN 1
                ELSE 2
              END = 2,
              CONCAT('2:', `t1`.`colour`),
              CAST(NULL AS STRING)
            )
          )
        ) AS `value`
      FROM (
        SELECT
          *
        FROM `predictions` AS `t0`
        WHERE
          `t0`.`served_at` >= CAST('2027-01-15T08:00:00' AS TIMESTAMP)
          AND `t0`.`served_at` < CAST('2027-01-15T08:01:00' AS TIMESTAMP)
      ) AS `t1`
    ) AS `t2`
    WHERE
      `t2`.`value` IS NOT NULL
  ) AS `t3`
  GROUP BY
    1
) AS `t4`
ORDER BY
  `t4`.`n` DESC,
  `t4`.`value` ASC NULLS LAST
LIMIT 100000;
